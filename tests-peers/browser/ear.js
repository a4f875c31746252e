// Put into a page before its own script: remembers what its microphone gives and what it hears, and takes the microphone as it
// is (no echo cancelling, no gain control), so that sound can be compared with what was played into it.
"use strict";
(() => {
  const rate = 48000;
  const block = 2048;
  const kept = {};
  let context;

  function listen(name, stream) {
    context ||= new AudioContext({ sampleRate: rate });
    const source = context.createMediaStreamSource(stream);
    const node = context.createScriptProcessor(block, 1, 1);
    const ear = kept[name] = { began: 0, blocks: [], source, node };
    node.onaudioprocess = (event) => {
      if (!ear.blocks.length) { ear.began = Date.now() / 1000 - block / rate; }
      ear.blocks.push(new Float32Array(event.inputBuffer.getChannelData(0)));
    };
    source.connect(node);
    node.connect(context.destination);
  }

  const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = async () => {
    const plain = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    const stream = await ask({ audio: plain });
    listen("microphone", stream);
    return stream;
  };

  const Peer = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Peer {
    constructor(...settings) {
      super(...settings);
      this.addEventListener("track", (event) => listen("ear", new MediaStream([event.track])));
    }
  };

  /** Wall clock of the first sample. */
  window.recordedFrom = (name) => kept[name] && kept[name].began;

  /** 16-bit samples in base64, and the wall clock of the first. */
  window.recorded = (name) => {
    const ear = kept[name];
    if (!ear) { return null; }
    const samples = new Int16Array(ear.blocks.length * block);
    let at = 0;
    for (const part of ear.blocks) {
      for (const sample of part) {
        samples[at++] = Math.max(-32768, Math.min(32767, Math.round(sample * 32768)));
      }
    }
    const bytes = new Uint8Array(samples.buffer);
    let text = "";
    for (let from = 0; from < bytes.length; from += 32768) {
      text += String.fromCharCode(...bytes.subarray(from, from + 32768));
    }
    return { rate, began: ear.began, pcm: btoa(text) };
  };
})();
