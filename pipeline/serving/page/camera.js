// The camera, only once somebody asks for it, and off when they say so or leave.
const at = (id) => document.getElementById(id);
const WHY_NOT = {
  NotFoundError: "There is no camera on this machine.",
  NotAllowedError: "The camera was not allowed; nothing was taken.",
  NotReadableError: "The camera can't be used; another program may have it. Close that and try again.",
};
let stream = null;
let starting = false; // a second click while the browser asks would open a second stream, which nothing would stop

export async function startCamera(add, say) {
  if (stream || starting) return;
  if (!navigator.mediaDevices) {
    say("This browser gives the camera to pages on https:// or this machine only.");
    return;
  }
  const video = at("video");
  starting = true;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user" }, audio: false });
    video.srcObject = stream;
    await video.play();
  } catch (error) {
    stopCamera();
    say(WHY_NOT[error.name] ?? "The camera could not be started; nothing was taken.");
    return;
  } finally {
    starting = false;
  }
  at("live").hidden = false;
  at("shoot").onclick = () => shoot(video, add);
  at("stop").onclick = stopCamera;
  at("shoot").focus();
  say("The camera is on. Pictures are sent only when you take one.");
}

async function shoot(video, add) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  canvas.getContext("2d").drawImage(video, 0, 0);
  const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.92));
  add([new File([blob], "Camera.jpg", { type: "image/jpeg" })]);
}

function stopCamera() {
  for (const track of stream?.getTracks() ?? []) track.stop();
  stream = null;
  at("live").hidden = true;
  at("camera").focus();
}

addEventListener("pagehide", stopCamera);
