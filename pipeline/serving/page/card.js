// The figures of the model in service.
import { about } from "./ask.js";
import { element, exactly, interval } from "./parts.js";

const figure = (found) => `${exactly(found.value)} (${interval(found)}, ${found.images.toLocaleString("en")} pictures)`;

function rows(facts) {
  const listed = [["Model", `${facts.model}, version ${facts.version}`]];
  for (const split of ["valid", "test"]) {
    if (facts.accuracy[split]) listed.push([`Right answers, ${split}`, figure(facts.accuracy[split])]);
    if (facts.f1_macro[split]) listed.push([`Macro F1, ${split}`, figure(facts.f1_macro[split])]);
  }
  const sure = facts.answers.test;
  if (sure) listed.push(["Right where it is sure, test", figure(sure)]);
  if (facts.caution) listed.push(["Caution", facts.caution]);
  listed.push(["Not sure below", facts.threshold ? exactly(facts.threshold) : "never"]);
  listed.push(["How that was chosen", chosen(facts)]);
  return listed;
}

// precision is what the threshold was to reach, not what was measured; 1 is the threshold that reached it nowhere, 0 the
// one of a model that reaches it by all its answers
function chosen({ threshold, precision }) {
  const aim = `at least ${exactly(precision)} of the sure answers are right, on valid`;
  return threshold === 1 ? `no threshold was found at which ${aim}` : `so that ${aim}`;
}

const into = document.getElementById("facts");
try {
  for (const [name, text] of rows(await about())) {
    into.append(element("tr", {}, element("th", { scope: "row" }, name), element("td", {}, text)));
  }
} catch (error) {
  into.append(element("tr", {}, element("td", {}, error.message)));
}
