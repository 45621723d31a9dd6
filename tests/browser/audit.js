// What a page owes everybody, as a list of complaints. Runs in the page, as it is on the screen now.
(() => {
  const complaints = [];
  const say = (what, node) => complaints.push(`${what}: ${describe(node)}`);
  const describe = (node) =>
    `<${node.tagName.toLowerCase()}${node.id && ` id=${node.id}`} class="${node.getAttribute("class") || ""}"> ${(node.textContent || "").trim().slice(0, 60)}`;
  const box = (node) => node.getBoundingClientRect();
  const hidden = (node) =>
    node.closest("[hidden], .unseen, noscript, [inert]") !== null ||
    !node.checkVisibility({ visibilityProperty: true });
  const all = (selector) => [...document.querySelectorAll(selector)].filter((node) => !hidden(node));

  // Names and labels.
  const named = (node) =>
    node.getAttribute("aria-label") ||
    (node.getAttribute("aria-labelledby") &&
      document.getElementById(node.getAttribute("aria-labelledby"))?.textContent) ||
    node.textContent.trim();
  for (const node of all("button, a[href], summary")) if (!named(node)) say("it has no name", node);
  for (const node of all("input, select, textarea"))
    if (!node.labels?.length && !node.getAttribute("aria-label")) say("it has no label", node);
  for (const node of all("img")) if (!node.hasAttribute("alt")) say("it has no alternative", node);
  for (const node of all("svg"))
    if (
      node.getAttribute("aria-hidden") !== "true" &&
      !(node.getAttribute("role") === "img" && node.getAttribute("aria-label"))
    )
      say("it is neither named nor hidden", node);
  for (const node of all("table"))
    if (!node.querySelector("caption") || !node.querySelector("th[scope=row], th[scope=col]"))
      say("it has no caption or heads", node);
  for (const node of document.querySelectorAll("[aria-labelledby], [aria-describedby], label[for]")) {
    for (const name of ["aria-labelledby", "aria-describedby", "for"]) {
      if (node.hasAttribute(name) && !document.getElementById(node.getAttribute(name)))
        say(`its ${name} leads nowhere`, node);
    }
  }
  const ids = [...document.querySelectorAll("[id]")].map((node) => node.id);
  for (const id of new Set(ids.filter((it, place) => ids.indexOf(it) !== place)))
    complaints.push(`the id ${id} is there twice`);

  // Structure.
  if (!document.documentElement.lang || !document.title) complaints.push("the page has no language or title");
  if (document.querySelectorAll("main").length !== 1 || document.querySelectorAll("h1").length !== 1)
    complaints.push("there is not one main part with one heading");
  if (document.querySelector("[tabindex]:not([tabindex='0'], [tabindex='-1'])"))
    complaints.push("a tabindex changes the order");
  let level = 0;
  for (const node of document.querySelectorAll("main :is(h1, h2, h3, h4, h5)")) {
    if (node.closest("[hidden]")) continue;
    const next = Number(node.tagName[1]);
    if (next > level + 1) say("a level of headings is missing before it", node);
    level = next;
  }

  // Room.
  const wide = document.documentElement.scrollWidth - innerWidth;
  if (wide > 0) complaints.push(`the page is ${wide} pixels too wide`);
  for (const node of all("button, a[href], select, input, summary, textarea")) {
    const { width, height } = box(node);
    const inline = node.tagName === "A" && node.closest("p");
    if (!inline && !(node.labels?.length && node.type === "checkbox") && (width < 24 || height < 24))
      say(`it is only ${Math.round(width)} by ${Math.round(height)} pixels large`, node);
  }

  // Contrast.
  const read = (text) => {
    const [r, g, b, a = 1] = text.match(/[\d.]+/g).map(Number);
    return text.startsWith("color(srgb") ? { r: 255 * r, g: 255 * g, b: 255 * b, a } : { r, g, b, a };
  };
  const over = (top, under) => ({
    r: top.r * top.a + under.r * (1 - top.a),
    g: top.g * top.a + under.g * (1 - top.a),
    b: top.b * top.a + under.b * (1 - top.a),
    a: 1,
  });
  const ground = (node) => {
    if (!node) return { r: 255, g: 255, b: 255, a: 1 };
    const own = read(getComputedStyle(node).backgroundColor);
    return own.a === 1 ? own : over(own, ground(node.parentElement));
  };
  const light = ({ r, g, b }) =>
    [r, g, b]
      .map((it) => it / 255)
      .map((it) => (it <= 0.04045 ? it / 12.92 : ((it + 0.055) / 1.055) ** 2.4))
      .reduce((sum, it, place) => sum + it * [0.2126, 0.7152, 0.0722][place], 0);
  const ratio = (one, other) => {
    const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const check = (node, color, style) => {
    const under = ground(node);
    const found = ratio(over(read(color), under), under);
    const size = parseFloat(style.fontSize);
    const needed = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
    if (found < needed) say(`its contrast is ${found.toFixed(2)}, not ${needed}`, node);
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = walker.nextNode(); text; text = walker.nextNode()) {
    const node = text.parentElement;
    if (!text.data.trim() || hidden(node) || node.closest("title, option, script, :disabled")) continue;
    const style = getComputedStyle(node);
    check(node, node.namespaceURI.endsWith("svg") ? style.fill : style.color, style);
  }
  for (const node of all("input[placeholder], textarea[placeholder]"))
    check(node, getComputedStyle(node, "::placeholder").color, getComputedStyle(node));
  for (const node of all("input:not([type=checkbox], [type=file]), select, textarea")) {
    const found = ratio(read(getComputedStyle(node).borderTopColor), ground(node.parentElement));
    if (found < 3) say(`its border's contrast is ${found.toFixed(2)}, not 3`, node);
  }
  return complaints;
})();
