// Texts whose contrast with what lies behind them is below 4.5, or below 3 for large letters (WCAG 2.2, 1.4.3).
const parse = (text) => (text.match(/[\d.]+/g) ?? [0, 0, 0, 0]).map(Number);
const linear = (c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
const behind = (e) => {
  for (; e; e = e.parentElement) {
    const colour = parse(getComputedStyle(e).backgroundColor);
    if (colour.length === 3 || colour[3] > 0) return colour;
  }
  return [255, 255, 255];
};
const weak = [];
const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walk.nextNode()) {
  const e = walk.currentNode.parentElement, style = getComputedStyle(e), words = walk.currentNode.data.trim();
  if (!words || !e.getClientRects().length || e.closest("script, style, title")) continue;
  let opacity = 1;
  for (let f = e; f; f = f.parentElement) opacity *= Number(getComputedStyle(f).opacity);
  const back = behind(e), front = parse(e.closest("svg") ? style.fill : style.color);
  const seen = front.slice(0, 3).map((c, i) => c * opacity + back[i] * (1 - opacity));
  const [a, b] = [light(seen), light(back)].sort((x, y) => y - x);
  const ratio = (a + 0.05) / (b + 0.05);
  if (ratio < (parseFloat(style.fontSize) >= 24 ? 3 : 4.5)) weak.push([words.slice(0, 40), ratio.toFixed(2)]);
}
return weak;
