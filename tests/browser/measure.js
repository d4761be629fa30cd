// What a person would see in the page of a schema, as one JSON text in the page's title.
const rect = (node) => node.getBoundingClientRect();
const inside = (a, b) =>
  a.left >= b.left && a.right <= b.right && a.top >= b.top && a.bottom <= b.bottom;
const meet = (a, b) =>
  a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
const words = (node) => node.querySelector("title").textContent;

const faults = [];
// Once as large as the window, once in full size.
const look = () => {
  const canvas = rect(document.querySelector(".erd"));
  const tables = [...document.querySelectorAll(".erd .table")].map((node) => ({
    name: words(node),
    box: rect(node.querySelector(".box")),
    texts: [...node.querySelectorAll("text")],
  }));
  tables.forEach((table, number) => {
    if (!inside(table.box, canvas)) faults.push(`${table.name} is not in the picture`);
    for (const other of tables.slice(number + 1))
      if (meet(table.box, other.box)) faults.push(`${table.name} covers ${other.name}`);
    table.texts.forEach((text, place) => {
      if (!inside(rect(text), table.box))
        faults.push(`'${text.textContent}' leaves ${table.name}`);
      for (const other of table.texts.slice(place + 1))
        if (meet(rect(text), rect(other)))
          faults.push(`'${text.textContent}' covers '${other.textContent}'`);
    });
  });
  const keys = [...document.querySelectorAll(".erd .key")];
  for (const key of keys) {
    const length = key.getTotalLength(), matrix = key.getScreenCTM();
    for (let way = 0; way <= length; way += 2) {
      const point = key.getPointAtLength(way).matrixTransform(matrix);
      for (const { name, box } of tables)
        if (point.x > box.left + 2 && point.x < box.right - 2 &&
            point.y > box.top + 2 && point.y < box.bottom - 2) {
          faults.push(`${words(key)} runs over ${name}`);
          way = length;
        }
    }
  }
  return { tables, keys };
};
look();
document.querySelector("#full").click();
const { tables, keys } = look();
for (const link of document.querySelectorAll("a"))
  if (!document.querySelector(link.getAttribute("href")))
    faults.push(`${link.getAttribute("href")} leads nowhere`);
document.title = JSON.stringify({
  tables: tables.map((table) => table.name),
  keys: keys.map(words),
  feet: keys.map((key) => ["start", "end"].map((end) => key.getAttribute(`marker-${end}`))),
  migrations: [...document.querySelectorAll("#migrations h3")].map((node) => node.textContent),
  dated: document.querySelectorAll("#migrations time").length,
  loaded: performance.getEntriesByType("resource").map((entry) => entry.name),
  wider: document.documentElement.scrollWidth - window.innerWidth,
  faults: [...new Set(faults)],
});
