// All pictures together: shares of faces by emotion as a chart and a table, and both to take away.
import { leader } from "./leader.js";
import { EMOTIONS, SHOWN, UNSURE, capital, count, element, numberOf, percent, verdict } from "./parts.js";

const at = (id) => document.getElementById(id);

// {emotion: number} of faces, by what is said of each
function counted(faces) {
  const counts = Object.fromEntries(SHOWN.map((emotion) => [emotion, 0]));
  for (const face of faces) counts[verdict(face)] += 1;
  return counts;
}

// [{name, faces, counts: {emotion: number}}] of the pictures that were read, and of all of them at the end
function mixes(pictures) {
  const rows = pictures
    .filter((each) => each.answer)
    .map((each) => ({ name: each.label, faces: each.answer.faces.length, counts: counted(each.answer.faces) }));
  const sum = (of) => rows.reduce((total, row) => total + of(row), 0);
  const counts = Object.fromEntries(SHOWN.map((emotion) => [emotion, sum((row) => row.counts[emotion])]));
  return [...rows, { name: "All pictures", faces: sum((row) => row.faces), counts, all: true }];
}

const NOBODY = "No clear lead";
const MOST = 200; // pictures in the chart and in the table; a canvas of many more is too high to be drawn
const LISTED = 20; // pictures that were not read, with their reasons

// the rows with most faces, in their order, and the one of all pictures at the end
function largest(rows) {
  const most = new Set(rows.slice(0, -1).sort((one, other) => other.faces - one.faces).slice(0, MOST));
  return [...rows.filter((row) => most.has(row)), rows.at(-1)];
}

const leftOut = (rows) => Math.max(0, rows.length - 1 - MOST);

// all pictures first, then each, unless there is only one
const lanes = (rows) => [rows.at(-1), ...(rows.length > 2 ? largest(rows).slice(0, -1) : [])];

// lead: the rule by which an emotion leads; unknown until the service has told it
export function showCampaign(pictures, lead) {
  const rows = mixes(pictures);
  const all = rows.at(-1);
  const read = rows.length - 1;
  const ended = pictures.filter((each) => each.answer || each.problem).length;
  at("campaign").hidden = at("to-campaign").hidden = !ended;
  at("mix").hidden = at("png").hidden = !read;
  facts([
    [count(read, "picture", "pictures"), read < pictures.length ? `read, of ${pictures.length}` : "read"],
    ...(read ? [[count(all.faces, "face", "faces"), "found"]] : []),
    // only at the end: the next answer could turn it around
    ...(lead && all.faces && ended === pictures.length ? [leading(rows, lead)] : []),
    ...(all.faces ? [[percent(all.counts[UNSURE] / all.faces), "of faces could not be read clearly (“not sure”)"]] : []),
  ]);
  notRead(pictures.filter((each) => each.problem));
  at("mix-words").textContent = all.faces
    ? "Share of faces by what each seems to express. With few faces, one more picture can change these shares a lot; the same one in another size counts again."
    : "No face that can be read.";
  at("left-out").hidden = !leftOut(rows);
  at("left-out").textContent = `The ${MOST} pictures with most faces are shown; “All pictures” and the CSV of the mix hold ${leftOut(rows)} more.`;
  at("chart").replaceChildren(...lanes(rows).map(lane));
  at("legend").replaceChildren(...SHOWN.map((each) => element("li", { "data-tone": each }, element("i"), capital(each))));
  const heading = (text) => element("th", { scope: "col" }, text);
  at("head").replaceChildren(element("tr", {}, ...["Picture", "Faces", ...SHOWN.map(capital)].map(heading)));
  at("rows").replaceChildren(
    ...largest(rows).map((row) => {
      const cells = [row.faces, ...SHOWN.map((each) => row.counts[each])].map((n) => element("td", {}, String(n)));
      return element("tr", {}, element("th", { scope: "row", title: row.name, dir: "auto" }, row.name), ...cells);
    }),
  );
}

// the emotion that leads, as a figure with its words
function leading(rows, lead) {
  const { faces, counts } = rows.at(-1);
  if (counts[UNSURE] === faces) return [NOBODY, "no face could be read clearly"];
  const [first, leads] = leader(rows.slice(0, -1).map((row) => SHOWN.map((each) => row.counts[each])), lead);
  const of = `${counts[first]} of ${count(faces, "face", "faces")}`;
  const unsure = counts[UNSURE];
  const more = SHOWN.every((each) => each === UNSURE || counts[each] < unsure) ? `; “not sure” more often, ${unsure}` : "";
  if (!first) return [NOBODY, `several are level${more}`];
  if (!leads) return [NOBODY, `${first} most often, ${of}, too few to say that it leads${more}`];
  return [capital(first), `leads: ${of}${more}`];
}

function facts(list) {
  at("facts").replaceChildren(...list.map(([big, small]) => element("li", {}, element("b", {}, big), " ", element("span", { class: "soft" }, small))));
}

function notRead(faulty) {
  at("not-read").hidden = !faulty.length;
  at("not-read-title").textContent = `${faulty.length} not read`;
  const fault = ({ name, problem }) => element("li", {}, element("strong", {}, element("bdi", {}, name)), " ", problem);
  at("faults").replaceChildren(...faulty.slice(0, LISTED).map(fault));
  at("more").hidden = faulty.length <= LISTED;
  at("more").textContent = `and ${faulty.length - LISTED} more; all are in the CSV of the mix`;
}

function lane(row) {
  const parts = SHOWN.filter((each) => row.counts[each]);
  const words = parts.map((each) => `${each} ${percent(row.counts[each] / row.faces)}`).join(", ") || "no face";
  const stack = element("div", { class: "stack", role: "img", "aria-label": `${row.name}: ${words}` });
  for (const each of parts) {
    const share = row.counts[each] / row.faces;
    const part = element("i", { "data-tone": each, title: `${capital(each)} ${percent(share)}` }, share > 0.08 ? percent(share) : "");
    part.style.width = `${100 * share}%`;
    stack.append(part);
  }
  return element("div", { class: row.all ? "lane all" : "lane" }, element("span", { class: "name", title: row.name, dir: "auto" }, row.name), stack);
}

export function mixToCsv(pictures) {
  const rows = pictures.map(({ name, answer, problem }) => {
    if (!answer) return [name, "", ...SHOWN.map(() => ""), problem ?? "not read yet"];
    const counts = counted(answer.faces);
    return [name, answer.faces.length, ...SHOWN.map((each) => counts[each]), ""];
  });
  return toCsv([["picture", "faces", ...SHOWN, "note"], ...rows]);
}

export function facesToCsv(pictures) {
  const rows = [["file", "face", "x", "y", "width", "height", "emotion", "likeliest", ...EMOTIONS, "note"]];
  for (const { name, answer, problem } of pictures) {
    const faces = answer?.faces ?? [];
    const row = (face, index) => {
      const { x, y, width, height } = face.box;
      const shares = EMOTIONS.map((each) => face.class_probabilities[each]);
      return [name, numberOf(faces, index), x, y, width, height, verdict(face), face.predicted_emotion_label, ...shares, ""];
    };
    rows.push(...faces.map(row).sort(([, one], [, other]) => one - other));
    if (!faces.length) rows.push([name, ...Array(7 + EMOTIONS.length).fill(""), problem ?? answer?.words ?? "not read yet"]);
  }
  return toCsv(rows);
}

// As Excel in the browser's language reads it: where 1.5 is written 1,5 a ; ends a cell. The mark: it is UTF-8.
function toCsv(rows) {
  const [point, end] = Intl.NumberFormat().format(1.5) === "1,5" ? [",", ";"] : [".", ","];
  return "\ufeff" + rows.map((row) => row.map((value) => cell(value, point)).join(end)).join("\r\n") + "\r\n";
}

function cell(value, point) {
  if (typeof value === "number") return String(value).replace(".", point);
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value; // a spreadsheet would run it as a formula
  // a ; as well: many an Excel of Europe takes it for the end of a cell
  return /[",;\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

// the text, or as much of its beginning and of its end as fits
function shortened(text, fits) {
  const letters = [...text];
  let made = text;
  for (let kept = letters.length - 1; kept > 0 && !fits(made); kept--) {
    made = [...letters.slice(0, Math.ceil(kept / 2)), "…", ...letters.slice(letters.length - Math.floor(kept / 2))].join("");
  }
  return made;
}

export function toPng(pictures) {
  const all = mixes(pictures);
  const rows = lanes(all);
  const today = new Date().toLocaleDateString("en-GB", { day: "numeric", month: "long", year: "numeric" });
  const foot = [
    ...(leftOut(all) ? [`The ${MOST} pictures with most faces; “All pictures” holds ${leftOut(all)} more.`] : []),
    `${all.length - 1} of ${count(pictures.length, "picture", "pictures")} read, ${today}. Apparent expression as a machine reads it, not what people feel.`,
  ];
  const canvas = element("canvas");
  const [left, wide, high] = [260, 860, 46];
  canvas.width = left + wide + 40;
  canvas.height = 124 + rows.length * high + foot.length * 26;
  const pen = canvas.getContext("2d");
  const paper = element("i", { class: "paper" });
  document.body.append(paper);
  const token = (name) => getComputedStyle(paper).getPropertyValue(`--${name.replace(" ", "-")}`).trim();
  pen.fillStyle = "#ffffff";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  const write = (text, x, y, font, colour = "#171a2b") => {
    pen.font = font;
    pen.fillStyle = colour;
    pen.fillText(text, x, y);
  };
  write("Emotion mix: what faces seem to express", 24, 42, "700 24px sans-serif");
  SHOWN.forEach((each, index) => {
    pen.fillStyle = token(each);
    pen.fillRect(24 + index * 138, 64, 16, 16);
    write(capital(each), 46 + index * 138, 78, "15px sans-serif");
  });
  rows.forEach((row, index) => {
    const top = 104 + index * high;
    pen.font = `${row.all ? 700 : 400} 16px sans-serif`;
    const faces = ` (${row.all ? count(row.faces, "face", "faces") : row.faces})`;
    const name = shortened(row.name, (text) => pen.measureText(text + faces).width <= left - 40);
    write(`\u2068${name}\u2069${faces}`, 24, top + 22, pen.font); // isolated: one in Arabic or Hebrew turns nothing around
    let x = left;
    for (const each of SHOWN.filter((each) => row.counts[each])) {
      const width = (wide * row.counts[each]) / row.faces;
      pen.fillStyle = token(each);
      pen.fillRect(x, top, width - 2, 32);
      if (width > 60) write(percent(row.counts[each] / row.faces), x + 10, top + 22, "600 15px sans-serif", token(`on-${each}`));
      x += width;
    }
  });
  paper.remove();
  foot.forEach((words, index) => write(words, 24, canvas.height - 20 - 26 * (foot.length - 1 - index), "15px sans-serif"));
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}
