// Without this the page still says everything: tables are sorted as written, and whole.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  for (const [column, head] of heads.entries()) {
    const button = document.createElement("button");
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const order = head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", order);
      const value = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
      const compare = (one, other) => {
        const [a, b] = [value(one), value(other)];
        if (a === "" || b === "") return (a === "") - (b === "");
        const by = isNaN(a) || isNaN(b) ? a.localeCompare(b, "zh") : a - b;
        return order === "ascending" ? by : -by;
      };
      table.tBodies[0].append(...[...table.tBodies[0].rows].sort(compare));
    });
  }
  const rows = table.tBodies[0].rows.length;
  if (rows > 15) {
    const more = document.createElement("button");
    more.className = "more";
    const show = (short) => {
      table.classList.toggle("short", short);
      more.textContent = short ? `显示全部 ${rows} 行` : "只显示前 15 行";
    };
    more.addEventListener("click", () => show(!table.classList.contains("short")));
    table.parentElement.after(more);
    show(true);
  }
}
