// Whether an emotion leads, by the rule of the campaign report: `overall` and `leader` in pipeline/campaign/mix.py, with
// the intervals of pipeline/reporting/intervals.py, which say why; a test holds the two to the same answers.
import { EMOTIONS } from "./parts.js";

const sum = (numbers) => numbers.reduce((total, each) => total + each, 0);

// counts: of each picture its faces, in the order of SHOWN. rule: what the service tells, {confidence, normal, fewest}:
// of the interval, the two-sided quantile for it, the parts of equal size that it takes at least. The emotion seen
// most, "" where two are level, and whether that is more than chance.
export function leader(counts, rule) {
  const totals = EMOTIONS.map((_, kind) => sum(counts.map((each) => each[kind])));
  const [first, second] = [...totals.keys()].sort((one, other) => totals[other] - totals[one]);
  if (totals[first] === totals[second]) return ["", false];
  const both = parts(counts).map((each) => [each[first], each[second]]).filter((each) => sum(each));
  if (evenParts(both) < rule.fewest) return [EMOTIONS[first], false];
  const share = totals[first] / (totals[first] + totals[second]);
  return [EMOTIONS[first], lowEnd(share, effectiveSize(both, rule), rule) > 0.5];
}

// the pictures with a face; of a single one its faces
function parts(counts) {
  const withFace = counts.filter((each) => sum(each));
  if (withFace.length > 1) return withFace;
  return withFace.flatMap((each) => each.flatMap((count, kind) => Array(count).fill(each.map((_, other) => Number(other === kind)))));
}

function evenParts(pairs) {
  const sizes = pairs.map(sum);
  return sum(sizes) ** 2 / sum(sizes.map((size) => size ** 2));
}

// how many independent answers these are worth for the share of the first of two kinds
function effectiveSize(pairs, rule) {
  const answers = sum(pairs.map(sum));
  if (pairs.every((pair) => sum(pair) === 1)) return answers;
  const even = evenParts(pairs);
  const share = sum(pairs.map(([first]) => first)) / answers;
  const apart = sum(pairs.map((pair) => (pair[0] - sum(pair) * share) ** 2));
  const variance = ((even / (even - 1)) * apart) / answers ** 2;
  const effect = share < 1 ? (answers * variance) / (share * (1 - share)) : answers / even;
  return (answers / Math.max(1, effect)) * (rule.normal / student(even - 1, rule)) ** 2;
}

// of Wilson's interval
function lowEnd(share, answers, { normal: z }) {
  const centre = share + z ** 2 / (2 * answers);
  return (centre - z * Math.sqrt((share * (1 - share)) / answers + z ** 2 / (4 * answers ** 2))) / (1 + z ** 2 / answers);
}

// Two-sided quantile of Student's t with so many degrees of freedom, at least 2: the share within -t to t is the integral
// of cos^(freedom - 1) up to arctan(t / sqrt(freedom)), of that over all angles.
function student(freedom, { confidence, normal }) {
  const density = (angle) => Math.cos(angle) ** (freedom - 1);
  const all = integral(density, Math.min(Math.PI / 2, 12 / Math.sqrt(freedom))); // beyond there is nothing
  let [low, high] = [normal, confidence * Math.sqrt(2 / (1 - confidence ** 2))]; // of infinitely many, and of 2
  for (let times = 0; times < 40; times += 1) {
    const middle = (low + high) / 2;
    const within = integral(density, Math.atan(middle / Math.sqrt(freedom))) / all;
    [low, high] = within < confidence ? [middle, high] : [low, middle];
  }
  return high;
}

// from 0, by Simpson's rule
function integral(of, end) {
  const pieces = 1000;
  const weight = (k) => (k === 0 || k === pieces ? 1 : k % 2 ? 4 : 2);
  return (sum(Array.from({ length: pieces + 1 }, (_, k) => weight(k) * of((k * end) / pieces))) * end) / (3 * pieces);
}
