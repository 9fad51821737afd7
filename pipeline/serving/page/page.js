// The page: takes pictures in, shows answers. What it knows lives in `pictures` until the tab is closed.
import { NoAnswer, about, ask } from "./ask.js";
import { startCamera } from "./camera.js";
import { facesToCsv, mixToCsv, showCampaign, toPng } from "./campaign.js";
import { count, dropSuffix, exactly, interval, percent, sameBytes, save } from "./parts.js";
import { forget, revealInStrip, showFace, showPicture, showStrip } from "./results.js";

const at = (id) => document.getElementById(id);
const pictures = []; // {name, label, file, url, begun, answer, problem, again}, in the order in which they came
const leftOut = { videos: 0, others: 0, twins: 0 }; // files that are no pictures, or here already
const TIMES = 6; // that a picture is asked about before it is given up
let shown = null;
let lead; // the rule by which an emotion leads, once the service has told it
let taking = Promise.resolve(); // ends with the last files that were given: those that come meanwhile wait for their turn
let batch = new AbortController(); // ends what is under way for the pictures of now
let silent = false; // the service gave no sign of life last: the next picture is not waited for as long

function add(files) {
  const given = [...files]; // at once: the list of an input is emptied with it
  const { signal } = batch;
  taking = taking.then(() => signal.aborted || take(given, signal));
}

async function take(files, signal) {
  const images = files.filter((file) => file.type.startsWith("image/") || !file.type);
  const videos = files.filter((file) => file.type.startsWith("video/")).length;
  const [fresh, twins] = [[], []];
  const names = new Set(pictures.map((each) => each.name));
  const labels = new Set(pictures.map((each) => each.label));
  for (const file of images) {
    const twin = await twinOf(file);
    if (signal.aborted) return; // "start again" was pressed meanwhile
    if (twin) {
      twins.push(twin);
      continue;
    }
    const name = unlike(names, file.name);
    const label = labels.has(dropSuffix(name)) ? name : dropSuffix(name); // hero.jpg and hero.png are two
    names.add(name);
    labels.add(label);
    fresh.push({ name, label, file, url: URL.createObjectURL(file) });
    pictures.push(fresh.at(-1));
  }
  leftOut.videos += videos;
  leftOut.others += files.length - images.length - videos;
  leftOut.twins += twins.length;
  if (images.length) show(fresh[0] ?? twins[0], 0);
  if (fresh.length) begin();
  else if (!working) say(summary());
}

// the picture that is here already and has the same bytes, whatever its name
async function twinOf(file) {
  for (const each of pictures.filter((each) => each.file.size === file.size)) if (await sameBytes(each.file, file)) return each;
  return undefined;
}

// the name, numbered where there is one like it: pictures of several folders, or pasted, or taken, may share theirs
function unlike(names, name) {
  const end = name.lastIndexOf(".") > 0 ? name.lastIndexOf(".") : name.length;
  let [made, number] = [name, 1];
  while (names.has(made)) {
    number += 1;
    made = `${name.slice(0, end)} (${number})${name.slice(end)}`;
  }
  return made;
}

let working = 0;
let refreshing; // the timer of the next refresh
async function work() {
  if (working >= 2) return;
  working += 1;
  let next;
  while ((next = pictures.find((each) => !each.begun))) {
    const { signal } = batch;
    next.begun = true;
    const done = pictures.filter((each) => each.answer || each.problem).length;
    say(`Reading picture ${done + 1} of ${pictures.length}…`);
    try {
      next.answer = await ask(next.file, say, signal, silent ? 1 : TIMES);
      silent = false;
    } catch (error) {
      next.problem = error.message;
      next.again = error instanceof NoAnswer;
      silent = Boolean(error.silent);
    }
    if (signal.aborted) continue; // "start again" was pressed meanwhile
    if (next === shown) show(next, 0);
    refreshing ??= setTimeout(refresh, 1000); // once for all answers of a second: it goes through all pictures
  }
  working -= 1;
  if (!working && pictures.length) {
    refresh();
    say(summary());
  }
}

function tryAgain() {
  for (const each of pictures.filter((each) => each.again)) each.begun = each.problem = each.again = undefined;
  if (shown) show(shown, 0);
  at("results").focus();
  begin();
}

function begin() {
  silent = false;
  refresh();
  // two at a time: the service looks at one while the next is on its way
  work();
  work();
}

function summary() {
  const faces = pictures.reduce((sum, each) => sum + (each.answer?.faces.length ?? 0), 0);
  const waiting = pictures.filter((each) => each.again).length;
  const bad = pictures.filter((each) => each.problem).length - waiting;
  const { videos, others, twins } = leftOut;
  const words = [];
  if (pictures.length) words.push(`${count(pictures.length - bad - waiting, "picture", "pictures")} read, ${count(faces, "face", "faces")} found.`);
  if (bad) words.push(`${count(bad, "picture", "pictures")} could not be read.`);
  if (waiting) words.push(`${count(waiting, "picture", "pictures")} got no answer; “Try again” asks for what is missing.`);
  if (videos) {
    words.push(
      `${count(videos, "video was", "videos were")} left out: this page reads pictures only. The campaign report reads videos; ` +
        "ask whoever runs this service to make one with pipeline.analyze.",
    );
  }
  if (others) words.push(`${count(others, "file was", "files were")} left out, as no picture.`);
  if (twins) words.push(twins === 1 ? "1 file was left out, the same as another here." : `${twins} files were left out, each the same as another here.`);
  return words.join(" ");
}

function show(picture, face) {
  const first = !shown;
  shown = picture;
  at("results").hidden = false;
  showPicture(picture, face, choose);
  showFace(picture, face);
  showStrip(pictures, shown, (each) => show(each, 0));
  revealInStrip(shown);
  if (first && at("live").hidden) at("results").scrollIntoView({ block: "start" }); // who is at the camera stays there
}

function choose(face) {
  showFace(shown, face);
}

function refresh() {
  clearTimeout(refreshing);
  refreshing = undefined;
  at("results").hidden = !pictures.length;
  at("again").hidden = working > 0 || !pictures.some((each) => each.again);
  showStrip(pictures, shown, (each) => show(each, 0));
  showCampaign(pictures, lead);
}

function say(words) {
  at("status").textContent = words;
}

function clear() {
  batch.abort();
  batch = new AbortController();
  for (const each of pictures) URL.revokeObjectURL(each.url);
  pictures.length = 0;
  leftOut.videos = leftOut.others = leftOut.twins = 0;
  shown = null;
  forget();
  refresh();
  say("Everything is forgotten.");
  at("files").focus();
}

async function sample(button) {
  try {
    const response = await fetch(`/page/samples/${button.dataset.sample}`);
    if (!response.ok) throw new Error(response.status);
    add([new File([await response.blob()], `${button.dataset.name}.jpg`, { type: "image/jpeg" })]);
  } catch {
    say("This sample can't be had: the service does not send it. Is it running?");
  }
}

async function tell() {
  try {
    const facts = await about();
    lead = facts.lead;
    if (pictures.length) refresh();
    const score = (found) =>
      `Right for ${exactly(found.value)} of ${found.images.toLocaleString("en")} test pictures ` +
      `${facts.caution ? "of which it may have seen some before" : "it had never seen"} ` +
      `(${interval(found)}; guessing one of seven would give 14 %).`;
    const test = facts.accuracy.test ? score(facts.accuracy.test) : "Not tested, so nothing is known of how often it is right.";
    const sure = facts.answers.test;
    const named = sure && sure.images < facts.accuracy.test.images
      ? ` It named ${percent(sure.images / facts.accuracy.test.images)} of them and was right for ${exactly(sure.value)} of those (${interval(sure)}); of the others it said “not sure”.`
      : "";
    const never = facts.threshold === 1 ? " It was never right often enough to be sure: it says “not sure” of every face." : "";
    at("model").textContent = `${test}${named}${never} Model: ${facts.model}, version ${facts.version}.`;
    const { file_bytes: bytes, pixels } = facts.limits;
    at("limits").textContent = `up to ${Math.round(bytes / 2 ** 20)} MB and ${+(pixels / 1e6).toPrecision(3)} million pixels each`;
  } catch (error) {
    at("model").textContent = error.message;
    if (error.seconds) setTimeout(tell, 1000 * error.seconds); // until there is a model
  }
}

at("files").addEventListener("change", (event) => {
  add(event.target.files);
  event.target.value = "";
});
for (const name of ["dragenter", "dragover"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    at("drop").classList.add("over");
  });
}
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) at("drop").classList.remove("over");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  at("drop").classList.remove("over");
  add(event.dataTransfer.files);
});
document.addEventListener("paste", (event) => {
  // browsers call what is no file "image.png", all of them
  const named = (file) => (/^(image\.\w+)?$/.test(file.name) ? new File([file], "Pasted picture.png", { type: file.type }) : file);
  if (event.clipboardData.files.length) add([...event.clipboardData.files].map(named));
});
for (const button of document.querySelectorAll("[data-sample]")) button.addEventListener("click", () => sample(button));
at("camera").addEventListener("click", () => startCamera(add, say));
at("again").addEventListener("click", tryAgain);
at("clear").addEventListener("click", clear);
const saveCsv = (text, name) => save(new Blob([text], { type: "text/csv" }), name);
at("faces-csv").addEventListener("click", () => saveCsv(facesToCsv(pictures), "faces.csv"));
at("mix-csv").addEventListener("click", () => saveCsv(mixToCsv(pictures), "emotion_mix.csv"));
at("png").addEventListener("click", async () => {
  const chart = await toPng(pictures);
  if (chart) save(chart, "emotion_mix.png");
  else say("This browser could not draw the chart; the CSV of the mix has its figures.");
});
tell();
