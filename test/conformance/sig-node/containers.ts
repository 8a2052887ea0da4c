import assert from 'node:assert/strict';
import { conformance } from '../conformance.ts';
import { outputOf } from '../pods.ts';

const should = '[sig-node] Containers should';

// The image's entrypoint tells what it was started with, and its command is `default arguments`.
conformance(it => {
  it(`${should} use the image defaults if command and args are blank [Conformance] [NodeConformance]`, async t => {
    assert.equal(await outputOf(t, { image: 'entrypoint:latest' }), '[/entrypoint default arguments]\n');
  });
  it(`${should} be able to override the image's default arguments (container cmd) [Conformance] [NodeConformance]`, async t => {
    const container = { args: ['override', 'arguments'] };
    assert.equal(await outputOf(t, { image: 'entrypoint:latest', container }), '[/entrypoint override arguments]\n');
  });
  it(`${should} be able to override the image's default command (container entrypoint) [Conformance] [NodeConformance]`, async t => {
    const container = { command: ['/entrypoint-2'] };
    assert.equal(await outputOf(t, { image: 'entrypoint:latest', container }), '[/entrypoint-2]\n');
  });
  it(`${should} be able to override the image's default command and arguments [Conformance] [NodeConformance]`, async t => {
    const container = { command: ['/entrypoint-2'], args: ['override', 'arguments'] };
    assert.equal(await outputOf(t, { image: 'entrypoint:latest', container }), '[/entrypoint-2 override arguments]\n');
  });
});
