// A style as a little drawing: colours of place, clothes and hair, a hat and what flies about, as the style's own words
// name them. It shows which is which at a glance; it is no portrait, and looks like none.
const SVG = "http://www.w3.org/2000/svg";
const SIDE = 128;
// The first of these that the words hold counts; longer names first, so that "sky-blue" is not blue.
const COLOURS = {
  "light blue": "#a9c9e6", "pale blue": "#b5cfe3", "sky-blue": "#86bde8", "dark blue": "#22376b", navy: "#22335e",
  denim: "#4d6d96", turquoise: "#3fb8b0", teal: "#2d7f86", blue: "#3c68b4", "dark red": "#8a2027", burgundy: "#6d1f33",
  red: "#c0302f", magenta: "#b52a80", "pale pink": "#f0cbd3", pink: "#e79ab4", purple: "#7a4aa6", orange: "#e5842c",
  yellow: "#e9c242", champagne: "#dcc7a0", golden: "#d6a93c", gold: "#d6a93c", beige: "#d8c7a8", linen: "#e3d8c3",
  cream: "#efe4cb", ivory: "#f1eadb", brown: "#7b5237", "pale green": "#bcd8b8", "dark green": "#2c5a3d", green: "#4b8a54",
  steel: "#9aa7b5", silver: "#c3cad2", grey: "#8e959d", black: "#25262b", white: "#f2f2ee", iridescent: "#b58be0",
  leather: "#6b4a34", silk: "#d8b7a0",
};
const PLACES = [ // [words, top, bottom]
  [/night|cyberpunk|neon|stage/, "#171b33", "#33285a"], [/space|starry/, "#0d1026", "#2b2150"],
  [/black background|dark plain/, "#1c1c20", "#35353b"], [/flames/, "#2a1210", "#b0401b"],
  [/snow/, "#dfeaf3", "#a9c2d6"], [/underwater/, "#5fb7c9", "#1d5f7d"], [/sea\b|beach/, "#8fc7ea", "#3f86b5"],
  [/autumn|poplar/, "#efcf8c", "#b06c2c"], [/desert|dunes|prairie|mural/, "#ecd6a6", "#bf8f56"],
  [/wheat/, "#dfe3e4", "#d1a94f"], [/blossom|roses/, "#f4dfe4", "#c9d6b4"], [/forest|glade/, "#a9c39a", "#46673f"],
  [/grassland|meadow|pitch|garden|field|village/, "#a9d3ee", "#78a955"], [/rice paper|instant photo/, "#eee6d2", "#d5c8a9"],
  [/room|hall|lobby|hotel|palace|café|coffee/, "#c9a67e", "#76543b"], [/street|city|promenade/, "#b8c0ca", "#757f8c"],
  [/sky/, "#9fc8ec", "#dbe9f4"],
];
const MOTIFS = [ // [words, shape, colours]
  [/snow/, "dot", ["#ffffff"]], [/stars|starry|space/, "dot", ["#ffffff", "#ffe9a8"]],
  [/neon|city lights|bokeh|glow|sparks/, "blur", ["#ffd166", "#ef5f8a", "#5ad1e8", "#a86bf0"]],
  [/autumn|poplar|leaves/, "leaf", ["#d9731f", "#b9481b", "#e6a13a"]], [/blossom|pink roses/, "leaf", ["#e58aa9", "#f3b8c9"]],
  [/flower|daisies|roses|daffodils|petals/, "leaf", ["#ffffff", "#f2cf4a"]], [/\brain\b/, "rain", ["#cfd9ea"]],
  [/balloons|festive|ornaments|baubles/, "blur", ["#f2c14e", "#d7263d"]], [/prism|colourful|vivid/, "blur", ["#ff7b7b", "#7bd6ff", "#c69bff"]],
];
const SKIN = "#eac5ac";

// An SVG element of a style's words: its place and its clothes.
export function styleCard({ place = "", outfit = "" }) {
  const svg = shape("svg", { viewBox: `0 0 ${SIDE} ${SIDE}`, width: SIDE, height: SIDE });
  const both = `${place}, ${outfit}`;
  const [top, bottom] = groundOf(place);
  const id = `facechain-${top.slice(1)}${bottom.slice(1)}`;
  const gradient = shape("linearGradient", { id, x1: 0, y1: 0, x2: 0, y2: 1 });
  gradient.append(shape("stop", { offset: 0, "stop-color": top }), shape("stop", { offset: 1, "stop-color": bottom }));
  svg.append(gradient, shape("rect", { width: SIDE, height: SIDE, fill: `url(#${id})` }), ...motif(both));
  const hair = hairOf(outfit);
  const clothes = outfit.split(", ").filter((part) => !/\bhair|\bcurls|braids|hat\b|cap\b|crown|earrings/.test(part)).join(", ");
  const colours = coloursIn(clothes);
  const [cloth = "#6c7f94", trim] = colours;
  const long = /long|curls|wavy|veil|braids/.test(outfit);
  svg.append(
    shape("rect", { x: 40, y: 40, width: 48, height: long ? 68 : 46, rx: 22, fill: /veil/.test(outfit) ? "#f4f4f1" : hair }),
    shape("ellipse", { cx: 64, cy: 132, rx: 46, ry: 46, fill: cloth }),
    shape("rect", { x: 56, y: 76, width: 16, height: 20, rx: 6, fill: "#d9ad92" }),
    ...(trim ? [shape("path", { d: "M52 88 L76 88 L64 112 Z", fill: trim })] : []),
    shape("ellipse", { cx: 64, cy: 62, rx: 19, ry: 23, fill: SKIN }),
    shape("path", { d: "M43 60 Q42 34 64 34 Q86 34 85 60 Q80 46 64 46 Q48 46 43 60 Z", fill: hair }),
    ...headdress(outfit),
    ...(/glasses/.test(outfit) ? glasses(outfit) : []),
  );
  return svg;
}

function groundOf(place) {
  const found = PLACES.find(([words]) => words.test(place));
  if (found) return found.slice(1);
  const [colour = "#b9bec5"] = coloursIn(place);
  return [mixed(colour, "#ffffff", 0.35), mixed(colour, "#000000", 0.12)];
}

function hairOf(outfit) {
  const named = outfit.split(", ").find((part) => /\bhair\b(?!\s*(ornament|pin|bow|tied|pinned|in a bun))|blonde/.test(part) && coloursIn(part).length);
  return named ? coloursIn(named)[0] : "#3f2a22";
}

function headdress(outfit) {
  const part = outfit.split(", ").find((words) => /hat\b|\bcap\b|crown|headdress|tiara|helmet|headband|wreath|bow hairband|hair bow/.test(words));
  if (!part) return [];
  const [colour = /hat\b/.test(part) ? "#8a6243" : "#d6a93c"] = coloursIn(part);
  if (/pointed hat/.test(part)) return [shape("path", { d: "M32 46 L96 46 L64 2 Z", fill: colour })];
  if (/helmet/.test(part)) return [shape("circle", { cx: 64, cy: 60, r: 34, fill: "none", stroke: "#e8ebee", "stroke-width": 5 })];
  if (/hat\b/.test(part)) return [shape("ellipse", { cx: 64, cy: 42, rx: 37, ry: 7, fill: colour }), shape("path", { d: "M44 42 Q46 18 64 18 Q82 18 84 42 Z", fill: colour })];
  if (/\bcap\b/.test(part)) return [shape("path", { d: "M42 46 Q44 24 64 24 Q84 24 86 46 L100 49 L86 41 Z", fill: colour })];
  if (/bow/.test(part)) return [shape("path", { d: "M64 34 L48 26 L48 42 Z M64 34 L80 26 L80 42 Z", fill: colour })];
  if (/crown|tiara|headdress/.test(part) && !/flower|wreath/.test(part)) return [shape("path", { d: "M44 42 L44 26 L54 36 L64 20 L74 36 L84 26 L84 42 Z", fill: colour })];
  return [42, 50, 58, 66, 74, 82].map((cx, n) => shape("circle", { cx: cx + 2, cy: 42 - 6 * Math.sin((Math.PI * (n + 0.5)) / 6), r: 5, fill: n % 2 ? "#f6d9e0" : colour }));
}

function glasses(outfit) {
  const tint = /sunglasses/.test(outfit) ? mixed(coloursIn(outfit)[0] ?? "#222", "#000000", 0.35) : "none";
  return [55, 73].map((cx) => shape("circle", { cx, cy: 61, r: 7, fill: tint, stroke: "#26262b", "stroke-width": 2 }));
}

// What flies about: always in the same places.
function motif(words) {
  const found = MOTIFS.find(([key]) => key.test(words));
  if (!found) return [];
  const [, kind, colours] = found;
  return Array.from({ length: kind === "rain" ? 30 : 22 }, (_, n) => {
    const [x, y] = [(n * 53.7) % SIDE, (n * 31.3 + n * n * 7.1) % SIDE];
    const fill = colours[n % colours.length];
    if (kind === "rain") return shape("line", { x1: x, y1: y, x2: x - 4, y2: y + 14, stroke: fill, "stroke-width": 1, opacity: 0.6 });
    if (kind === "leaf") return shape("ellipse", { cx: x, cy: y, rx: 5, ry: 3, fill, transform: `rotate(${n * 40} ${x} ${y})` });
    return shape("circle", { cx: x, cy: y, r: kind === "blur" ? 3 + (n % 4) * 2 : 1.2 + (n % 3), fill, opacity: kind === "blur" ? 0.55 : 0.9 });
  });
}

// The colours that words name, in their order.
function coloursIn(words) {
  const names = Object.keys(COLOURS).sort((a, b) => b.length - a.length);
  const found = words.match(new RegExp(`\\b(${names.join("|")})`, "g")) ?? [];
  return [...new Set(found)].map((name) => COLOURS[name]);
}

function mixed(colour, other, part) {
  const channels = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  const [a, b] = [channels(colour), channels(other)];
  return `#${a.map((value, n) => Math.round(value + (b[n] - value) * part).toString(16).padStart(2, "0")).join("")}`;
}

function shape(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}
