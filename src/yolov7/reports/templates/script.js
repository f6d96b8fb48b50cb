for (const table of document.querySelectorAll("table[data-sortable]")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  heads.forEach((head, column) => {
    if (!head.textContent) return;
    const button = document.createElement("button");
    button.append(...head.childNodes);
    button.title = "sort";
    head.append(button);
    button.onclick = () => {
      const down = head.getAttribute("aria-sort") !== "descending";
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = row => row.cells[column].dataset.value;
      const rows = [...body.rows].sort((a, b) => {
        const x = key(a), y = key(b);
        if (x === undefined || y === undefined)
          return a.cells[column].textContent.localeCompare(b.cells[column].textContent) * (down ? 1 : -1);
        if (x === "" || y === "") return (x === "") - (y === "");
        return (x - y) * (down ? -1 : 1);
      });
      body.append(...rows);
    };
  });
}
const large = document.createElement("dialog");
large.setAttribute("aria-label", "picture");
large.onclick = () => large.close();
document.body.append(large);
for (const picture of document.querySelectorAll(".picture > *")) {
  const open = () => { large.replaceChildren(picture.cloneNode(true)); large.showModal(); };
  picture.dataset.large = "";
  picture.setAttribute("tabindex", "0");
  picture.onclick = open;
  picture.onkeydown = event => {
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); open(); }
  };
}
