// Draws link cards and link tables from data. Text goes in as text nodes only, so data can never become markup.

function element(tag, className, children = []) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

// Changes page inside the session, the way the browser's back button does.
function navigate(href) {
  history.pushState({}, "", href);
  window.dispatchEvent(new PopStateEvent("popstate"));
}

// A plain click stays in the session; other clicks open a new tab, as for any link.
function anchor(href, className, children) {
  const made = element("a", className, children);
  made.href = href;
  made.addEventListener("click", (event) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey || event.button !== 0) return;
    event.preventDefault();
    navigate(made.href);
  });
  return made;
}

function card(item) {
  const image = element("img");
  image.alt = item.alt;
  image.loading = "lazy";
  image.decoding = "async";
  image.addEventListener("error", () => {
    image.replaceWith(element("span", "absent", ["file missing"]));
  });
  image.src = item.src;
  const mark = item.mark ? element("span", `mark ${item.tone || ""}`, [item.mark]) : null;
  const title = element("span", "title", [element("span", "", [item.title]), mark]);
  const lines = item.lines.map((line) => element("span", "line", [line]));
  const main = anchor(item.href, "card", [element("span", "film", [image]), title, ...lines]);
  const more = item.more ? anchor(item.more[1], "more", [item.more[0]]) : null;
  if (more) more.setAttribute("aria-label", `${item.more[0]}: ${item.alt}`);
  return element("li", "", [main, more].filter(Boolean));
}

function cell(content, column, head) {
  const inner = content.href ? anchor(content.href, "", [content.text]) : content.text;
  const made = element(head ? "th" : "td", `${column.align || "left"} ${content.tone || ""}`, [inner]);
  if (head) made.scope = "row";
  if (content.help) made.title = content.help;
  return made;
}

function step(content) {
  const inner = content.href ? anchor(content.href, "", [content.text]) : content.text;
  const made = element("li", content.tone || "", [inner]);
  if (content.help) made.title = content.help;
  return made;
}

// Arrow keys follow the links that name them, unless a slider or a field has the focus and needs them itself.
function follow(steps, event) {
  if (event.defaultPrevented || event.metaKey || event.ctrlKey || event.altKey || event.shiftKey) return;
  if (event.target.closest?.("input, textarea, select, [role=slider], [role=radiogroup], [contenteditable=true]")) return;
  const at = steps.findIndex((content) => content.href && content.key === event.key);
  if (at >= 0) navigate(new URL(steps[at].href, location.href).href);
}

function table(data) {
  const heads = data.columns.map((column) => {
    const made = element("th", column.align || "left", [column.text]);
    made.scope = "col";
    return made;
  });
  const rows = data.rows.map((row) =>
    element("tr", "", row.map((content, at) => cell(content, data.columns[at], at === 0))));
  const made = element("table", "", [
    element("caption", "", [data.caption]),
    element("thead", "", [element("tr", "", heads)]),
    element("tbody", "", rows),
  ]);
  return element("div", "wide", [made]); // scrolls by itself where the window is narrower
}

function draw(data) {
  if (data.cards) return element("ul", "cards", data.cards.map(card));
  return data.steps ? element("ul", "row", data.steps.map(step)) : table(data);
}

export default function ({ data, parentElement }) {
  const drawn = draw(data);
  drawn.classList.add("linked");
  if (data.cards) drawn.style.setProperty("--card", `${data.width}px`);
  parentElement.querySelector(".linked")?.remove();
  parentElement.appendChild(drawn);
  if (!data.steps) return undefined;
  const listen = (event) => follow(data.steps, event);
  document.addEventListener("keydown", listen);
  return () => document.removeEventListener("keydown", listen);
}
