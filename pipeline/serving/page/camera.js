// The camera, only once somebody asks for it, and off when they say so or leave.
const at = (id) => document.getElementById(id);
let stream = null;
let taken = 0;

export async function startCamera(add, say) {
  if (stream) return;
  if (!navigator.mediaDevices) {
    say("This browser gives the camera to pages on https:// or this machine only.");
    return;
  }
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user" }, audio: false });
  } catch (error) {
    say(error.name === "NotFoundError" ? "There is no camera on this machine." : "The camera was not allowed; nothing was taken.");
    return;
  }
  const video = at("video");
  video.srcObject = stream;
  await video.play();
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
  taken += 1;
  add([new File([blob], `Camera ${taken}.jpg`, { type: "image/jpeg" })]);
}

function stopCamera() {
  for (const track of stream?.getTracks() ?? []) track.stop();
  stream = null;
  at("live").hidden = true;
  at("camera").focus();
}

addEventListener("pagehide", stopCamera);
