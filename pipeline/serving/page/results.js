// One picture with its faces, the bars of one face, and the strip of all pictures.
import { EMOTIONS, capital, element, numberOf, percent, verdict } from "./parts.js";

const at = (id) => document.getElementById(id);

const entries = new Map(); // picture: its button in the strip

// changes what is there and appends what is new: an entry made anew would lose the keyboard's focus
export function showStrip(pictures, shown, choose) {
  if (!pictures.length) {
    entries.clear();
    at("strip").replaceChildren();
  }
  for (const each of pictures) {
    if (!entries.has(each)) entries.set(each, append(each, choose));
    const button = entries.get(each);
    const state = each.again ? "no answer" : each.problem ? "could not be read" : each.answer ? "" : "being read";
    button.dataset.state = state;
    button.setAttribute("aria-label", [each.name, state].filter(Boolean).join(", "));
    button.querySelector(".badge").textContent = each.again ? `↻ ${state}` : "";
    button.setAttribute("aria-pressed", String(each === shown));
    if (each.problem && !each.again) button.querySelector("img")?.replaceWith(element("div", { class: "none", "aria-hidden": "true" }, "✕"));
  }
}

function append(picture, choose) {
  const image = element("img", { src: picture.url, alt: "" });
  const badge = element("b", { class: "badge", "aria-hidden": "true" });
  const button = element("button", { type: "button", onclick: () => choose(picture) }, image, badge, element("span", { dir: "auto" }, picture.label));
  at("strip").append(element("li", {}, button));
  return button;
}

// moves the strip alone, sideways: scrollIntoView would move the page as well
export function revealInStrip(picture) {
  const [strip, entry] = [at("strip"), entries.get(picture)].map((each) => each.getBoundingClientRect());
  const beyond = Math.min(0, entry.left - strip.left) || Math.max(0, entry.right - strip.right);
  at("strip").scrollLeft += beyond;
}

// what the service did to the stored picture, by the orientation that it answers
const TURNS = {
  1: "", 2: "scaleX(-1)", 3: "rotate(180deg)", 4: "scaleY(-1)",
  5: "rotate(90deg) scaleY(-1)", 6: "rotate(90deg)", 7: "rotate(-90deg) scaleY(-1)", 8: "rotate(-90deg)",
};

// shows an image as the service read it: browsers know fewer kinds of orientation than the service, so none is left to them
function lay(image, { width, height, orientation }) {
  const across = orientation > 4 ? `${(100 * height) / width}%` : "100%"; // a side of the stored picture, of the frame's
  const down = orientation > 4 ? `${(100 * width) / height}%` : "100%";
  Object.assign(image.style, { width: across, height: down, transform: `translate(-50%, -50%) ${TURNS[orientation]}` });
  at("frame").style.setProperty("--width", width);
  at("frame").style.setProperty("--height", height);
}

// takes away the picture and the face that are shown, which "start again" would only hide
export function forget() {
  at("frame").classList.remove("read");
  for (const id of ["frame", "caption", "verdict", "shares"]) at(id).replaceChildren();
}

export function showPicture(picture, face, choose) {
  at("frame").classList.toggle("read", Boolean(picture.answer));
  if (picture.problem) {
    at("frame").replaceChildren(element("p", { class: "message" }, picture.problem));
    at("caption").replaceChildren(element("bdi", {}, picture.name));
    return;
  }
  const image = element("img", { src: picture.url, alt: `${picture.name}: ${picture.answer?.words ?? "being read"}` });
  if (picture.answer) lay(image, picture.answer);
  const faces = picture.answer?.faces ?? [];
  const boxes = faces.map((each, index) => box(each, index, picture.answer, index === face));
  for (const [index, each] of boxes.entries()) {
    each.addEventListener("click", () => {
      for (const other of boxes) other.setAttribute("aria-pressed", String(other === each));
      choose(index);
    });
  }
  const pressed = boxes[face];
  // from left to right, so that the Tab key goes through them as the eye does
  boxes.sort((one, other) => parseFloat(one.style.left) - parseFloat(other.style.left));
  at("frame").replaceChildren(image, ...boxes);
  bringToMiddle(pressed);
  at("caption").replaceChildren(element("bdi", {}, picture.label), `. ${picture.answer?.words ?? "Being read…"}`);
}

// moves a picture that is longer than its place; to its beginning without a face
function bringToMiddle(pressed) {
  const pan = at("frame").parentElement;
  const left = pressed ? pressed.offsetLeft + (pressed.offsetWidth - pan.clientWidth) / 2 : 0;
  const top = pressed ? pressed.offsetTop + (pressed.offsetHeight - pan.clientHeight) / 2 : 0;
  pan.scrollTo(left, top);
}

function box(face, index, answer, pressed) {
  const { x, y, width, height } = face.box;
  const said = verdict(face);
  const bottom = (y + height) / answer.height;
  const place = height > 0.85 * answer.height ? " inner" : bottom > 0.9 ? " low" : "";
  const made = element(
    "button",
    {
      type: "button",
      class: `box${face.certain ? "" : " unsure"}${place}`,
      "data-tone": said,
      "aria-pressed": String(pressed),
      "aria-label": `Face ${numberOf(answer.faces, index)}: ${said}`,
    },
    element("span", { "aria-hidden": "true" }, capital(said)),
  );
  const share = { left: x / answer.width, top: y / answer.height, width: width / answer.width, height: height / answer.height };
  for (const [side, value] of Object.entries(share)) made.style[side] = `${100 * value}%`;
  return made;
}

export function showFace(picture, index) {
  const faces = picture.answer?.faces ?? [];
  const face = faces[index];
  if (!face) {
    const words = picture.problem ?? picture.answer?.words ?? "Being read…";
    const hint = picture.answer ? "Try a picture in which faces are larger, lit and turned to the camera." : "";
    at("verdict").replaceChildren(element("h3", {}, words), element("p", { class: "soft" }, hint));
    at("shares").replaceChildren();
    return;
  }
  const best = face.predicted_emotion_label;
  const said = verdict(face);
  const likely = percent(face.class_probabilities[best]);
  const words = face.certain
    ? `The face seems to express ${best} (${likely}).`
    : `Closest is ${best} with ${likely}, which is too little to say so.`;
  at("verdict").replaceChildren(
    element("p", { class: "soft small" }, `Face ${numberOf(faces, index)} of ${faces.length}${faces.length > 1 ? "; choose another in the picture" : ""}`),
    element("p", { class: "verdict", "data-tone": said }, element("i", { "aria-hidden": "true" }), capital(said)),
    element("p", { class: "soft" }, words),
  );
  at("shares").replaceChildren(element("ul", { class: "bars", "aria-label": "How likely each emotion is" }, ...bars(face)));
}

function bars(face) {
  return EMOTIONS.map((emotion) => {
    const share = face.class_probabilities[emotion];
    const fill = element("span", { class: "fill" });
    fill.style.width = `${100 * share}%`;
    return element(
      "li",
      { "data-tone": emotion, class: face.certain && emotion === face.predicted_emotion_label ? "first" : undefined },
      element("span", {}, capital(emotion)),
      element("span", { class: "track", "aria-hidden": "true" }, fill),
      element("span", { class: "value" }, percent(share)),
    );
  });
}

