// Small things that the other files share.
export const EMOTIONS = ["happiness", "surprise", "neutral", "sadness", "fear", "disgust", "anger"]; // as shown
export const UNSURE = "not sure";
export const SHOWN = [...EMOTIONS, UNSURE];

export const verdict = (face) => (face.certain ? face.predicted_emotion_label : UNSURE);
// the number of a face, counted from the left, of two as far left the larger; the service names the largest first
export const numberOf = (faces, index) => {
  const left = (k) => faces[k].box.x;
  return faces.filter((_, k) => left(k) < left(index) || (left(k) === left(index) && k < index)).length + 1;
};
export const capital = (text) => text[0].toUpperCase() + text.slice(1);
export const percent = (share) => `${Math.round(100 * share)} %`;
export const exactly = (share) => `${(100 * share).toFixed(1)} %`;
export const interval = ({ low, high, confidence }) =>
  `${+(100 * confidence).toPrecision(4)} % interval ${exactly(low)} to ${exactly(high)}`;
export const count = (n, one, many) => `${n} ${n === 1 ? one : many}`;
export const dropSuffix = (name) => name.replace(/\.(jpe?g|png|webp)$/i, "");

const PIECE = 2 ** 20; // bytes of a file that are compared at a time: none is in memory as a whole

// of two files of one size, by the bytes themselves: browsers give crypto.subtle, for a hash, to pages on https:// or this machine only
export async function sameBytes(one, other) {
  const piece = async (file, from) => new Uint8Array(await file.slice(from, from + PIECE).arrayBuffer());
  try {
    for (let from = 0; from < one.size; from += PIECE) {
      const [here, there] = await Promise.all([piece(one, from), piece(other, from)]);
      if (!here.every((byte, at) => byte === there[at])) return false;
    }
    return true;
  } catch {
    return false; // one can't be opened, which is told when it is asked about
  }
}

// element("li", {class: "a", "data-tone": "fear"}, "text", child, ...); a property of undefined or false is left out
export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key === "onclick") made.addEventListener("click", value);
    else if (value !== undefined && value !== false) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

export function save(blob, name) {
  const link = element("a", { href: URL.createObjectURL(blob), download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
