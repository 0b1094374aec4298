// What a person would not see, not reach, or not make out on the present page, as sentences.
() => {
  const wrong = [];
  // Colours that fade into each other would be judged halfway.
  for (const fading of document.getAnimations()) fading.finish();
  const page = document.documentElement;
  if (page.scrollWidth > page.clientWidth) {
    wrong.push(`It is ${page.scrollWidth - page.clientWidth} pixels too wide.`);
  }
  const headings = document.querySelectorAll("h1").length;
  if (headings !== 1) wrong.push(`It has ${headings} headings of level 1.`);
  if (!document.title.trim() || document.title.startsWith("·")) wrong.push("It has no title.");

  const parse = (colour) => {
    const [r, g, b, a = 1] = colour.match(/[\d.]+/g).map(Number);
    return [r, g, b, a];
  };
  const over = ([r, g, b, a], under) => [r, g, b].map((c, i) => c * a + under[i] * (1 - a)).concat(1);
  // What is painted behind an element; a gradient or a picture is not looked at.
  const behind = (one) => {
    if (!one) return [255, 255, 255, 1];
    const own = parse(getComputedStyle(one).backgroundColor);
    return own[3] === 1 ? own : over(own, behind(one.parentElement));
  };
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((c) => {
      const s = c / 255;
      return s <= 0.03928 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const contrast = (one) => {
    const ground = behind(one);
    const ink = over(parse(getComputedStyle(one).color), ground);
    const [high, low] = [light(ink), light(ground)].sort((a, b) => b - a);
    return (high + 0.05) / (low + 0.05);
  };
  const faint = new Set();
  // Where an element of the same classes was looked at in the same place, the next one is alike.
  const place = (one) => (one ? `${place(one.parentElement)}/${one.tagName}.${one.className}` : "");
  const places = new Set();
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const one = texts.currentNode.parentElement;
    const text = texts.currentNode.textContent.trim();
    const area = document.createRange();
    area.selectNodeContents(texts.currentNode);
    if (!text || places.has(place(one)) || one.closest("option, noscript")) continue;
    if (area.getBoundingClientRect().width < 2) continue;
    places.add(place(one));
    const ratio = contrast(one);
    if (ratio < 4.5) faint.add(`Hard to read (${ratio.toFixed(1)} to 1): ${text.slice(0, 40)}`);
  }
  wrong.push(...faint);

  for (const field of document.querySelectorAll("input:not([type=hidden]), select, textarea")) {
    const named = field.ariaLabel || [...(field.labels || [])].some((label) => label.textContent.trim());
    if (!named) wrong.push(`The field ${field.name} has no label.`);
  }
  for (const one of document.querySelectorAll("a, button")) {
    if (!one.ariaLabel && !one.textContent.trim()) wrong.push(`A link or button is empty: ${one.outerHTML}`);
  }
  return wrong;
}
