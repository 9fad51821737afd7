// Asks the service. Every failure is an Error whose message is words for people.
const DEADLINE = 90_000; // ms for one request; the service gives up before: body_seconds and answer_seconds in conf/serve.yaml

// A failure of the way or the moment, not of the picture: asking again may help, at once or `seconds` later.
export class NoAnswer extends Error {
  constructor(words, { seconds = 0, silent = false } = {}) {
    super(words);
    Object.assign(this, { seconds, silent }); // silent: nothing came back, not even a refusal
  }
}

// the answer about a picture, asked for up to so many times, unless `signal` is aborted
export async function ask(file, say, signal, times) {
  await openable(file);
  for (let left = times - 1; ; left -= 1) {
    const body = new FormData();
    body.append("file", file);
    try {
      return await within(DEADLINE, signal, (both) => send("/api/predict", { method: "POST", body, signal: both }));
    } catch (error) {
      signal.throwIfAborted();
      if (!left || !error.seconds) throw error;
      say(`The service ${error.silent ? "does not answer" : "is busy"}; trying again in ${error.seconds} s…`);
      await pause(error.seconds, signal);
    }
  }
}

// what `job(signal)` gives, ended after so long or with the outer signal; AbortSignal.any is not in browsers of 2023
async function within(milliseconds, outer, job) {
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
  return send("/api/about");
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
  if (response.status < 502) throw new Error(words);
  // 503, or a proxy's 502 and 504 while the service starts again
  throw new NoAnswer(words, { seconds: Math.min(Number(response.headers.get("retry-after")) || 1, 10) });
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null; // not the service's own words
  }
}
