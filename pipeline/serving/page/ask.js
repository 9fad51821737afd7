// Asks the service. Every failure is an Error whose message is words for people.
const DEADLINE = 90_000; // ms for one request; the service gives up before: body_seconds and answer_seconds in conf/serve.yaml
let oneByOne = false; // an upload did not get through in time: two that share a slow line hold each other up
let fileBytes = Infinity; // of a picture, at most; the service says how many
let turn = Promise.resolve(); // ends with the last picture that is under way

// A failure of the way or the moment, not of the picture: asking again may help, at once or `seconds` later.
export class NoAnswer extends Error {
  constructor(words, { seconds = 0, silent = false, slow = false } = {}) {
    super(words);
    Object.assign(this, { seconds, silent, slow }); // silent: nothing came back, not even a refusal; slow: the upload was
  }
}

// the answer about a picture, asked for up to so many times, unless `signal` is aborted
export async function ask(file, say, signal, times) {
  if (file.size > fileBytes) {
    const [size, limit] = [Math.ceil((10 * file.size) / 2 ** 20) / 10, fileBytes / 2 ** 20]; // in MB
    throw new Error(`The file is too large, ${size} MB; make it smaller, ${limit} MB at most.`);
  }
  await openable(file);
  for (let left = times - 1; ; left -= 1) {
    const body = new FormData();
    body.append("file", file);
    const post = () => within(DEADLINE, signal, (both) => send("/api/predict", { method: "POST", body, signal: both }));
    const alone = oneByOne;
    try {
      return await inTurn(post);
    } catch (error) {
      signal.throwIfAborted();
      oneByOne ||= Boolean(error.slow);
      if (!left || !error.seconds || (error.slow && alone)) throw error;
      const why = error.silent ? "The service does not answer" : error.slow ? "The upload took too long" : "The service is busy";
      say(`${why}; trying again in ${error.seconds} s…`);
      await pause(error.seconds, signal);
    }
  }
}

// what `job()` gives, begun at once or, where it has to be one by one, when all before it have ended
function inTurn(job) {
  const done = oneByOne ? turn.then(job) : job();
  turn = Promise.allSettled([turn, done]).then(() => {}); // whose values would hold all answers
  return done;
}

// what `job(signal)` gives, ended after so long or with the outer signal; AbortSignal.any is not in browsers of 2023
async function within(milliseconds, outer, job) {
  outer.throwIfAborted(); // while the file was opened, or its turn waited for
  const inner = new AbortController();
  const end = () => inner.abort(outer.reason);
  const timer = setTimeout(() => inner.abort(new DOMException("", "TimeoutError")), milliseconds);
  outer.addEventListener("abort", end);
  try {
    return await job(inner.signal);
  } finally {
    clearTimeout(timer);
    outer.removeEventListener("abort", end);
  }
}

function pause(seconds, signal) {
  return new Promise((done, fail) => {
    setTimeout(done, 1000 * seconds);
    signal.addEventListener("abort", () => fail(signal.reason), { once: true });
  });
}

// A folder that was dropped comes as a file that can't be opened.
async function openable(file) {
  try {
    await file.slice(0, 1).arrayBuffer();
  } catch {
    throw new Error("This can't be opened. A folder can't be sent: drop the pictures in it. A file has to be where it was.");
  }
}

export async function about() {
  const facts = await send("/api/about");
  fileBytes = facts.limits.file_bytes;
  return facts;
}

async function send(path, options) {
  let response, text;
  try {
    response = await fetch(path, options);
    text = await response.text();
  } catch (error) {
    if (error.name === "TimeoutError") throw new NoAnswer("The service took too long to answer.", { silent: true });
    throw new NoAnswer("The service does not answer. Is it running?", { seconds: 2, silent: true });
  }
  const answer = parsed(text);
  if (response.ok && answer) return answer;
  const words = answer?.error ?? `The service answered with status ${response.status}.`;
  const { status } = response;
  if (status < 500 && status !== 408 && status !== 429) throw new Error(words); // the picture's own fault
  // 503, 408 for an upload that was too slow, or a proxy's 429, and its 502 and 504 while the service starts again;
  // 500 is a fault in the service, and would come again at once
  const seconds = status === 500 ? 0 : Math.min(Number(response.headers.get("retry-after")) || 1, 10);
  throw new NoAnswer(words, { seconds, slow: status === 408 });
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null; // not the service's own words
  }
}
