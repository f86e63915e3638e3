"""Everything that is true of the chats before any model sees them.

The label schema (`taxonomy`), the shape of one labelled message (`example`), the text that models
read (`text`, `encoding`), the personal data that must not travel (`pii`), the embedded corpus and
other sources (`sources`), its checks and data card (`checks`), and the snapshot that training reads
(`split`). Training, labelling and serving import from here; this package imports from none of them.
"""
