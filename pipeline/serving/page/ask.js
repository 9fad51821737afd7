// Asks the service. Every failure is an Error whose message is words for people.
export async function ask(file, say) {
  await openable(file);
  for (let attempt = 0; ; attempt += 1) {
    const form = new FormData();
    form.append("file", file);
    const response = await send("/api/predict", { method: "POST", body: form });
    if (response.status !== 503 || attempt === 5) return read(response);
    const seconds = Math.min(Number(response.headers.get("retry-after")) || 1, 10);
    say(`The service is busy; trying again in ${seconds} s…`);
    await new Promise((done) => setTimeout(done, 1000 * seconds));
  }
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
  return read(await send("/api/about"));
}

async function send(path, options) {
  try {
    return await fetch(path, options);
  } catch {
    throw new Error("The service does not answer. Is it running?");
  }
}

async function read(response) {
  const answer = await response.json().catch(() => null);
  if (response.ok && answer) return answer;
  throw new Error(answer?.error ?? `The service answered with status ${response.status}.`);
}
