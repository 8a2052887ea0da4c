import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { newSeed, type Finding } from './fuzzing.ts';
import { hasKubectl } from './targets/kubectl.ts';
import { targets } from './targets.ts';
import { WatchedFuzzing } from './watched.ts';

/** The long run is `npm run fuzz`, which also keeps what it finds. */
const newMs = 120;

describe('inputs that failed once, and some that are new', () => {
  const fuzzing = new WatchedFuzzing();
  after(() => fuzzing[Symbol.asyncDispose]());
  const seed = newSeed();

  for (const { name } of targets)
    test(name, { skip: name.startsWith('kubectl') && !hasKubectl }, async context => {
      const { inputs, findings } = await fuzzing.fuzz({ target: name, seed, newMs });
      context.diagnostic(`seed ${seed}: ${inputs} inputs`);
      assert.deepEqual(findings.map(described), []);
      assert.ok(inputs > 0);
    });
});

describe('planted faults are found', () => {
  const fuzzing = new WatchedFuzzing({ stuckMs: 500 });
  after(() => fuzzing[Symbol.asyncDispose]());
  const found = async (target: string) => {
    const { findings } = await fuzzing.fuzz({ target, seed: 1, newMs: 400 });
    return findings.map(({ what, input }) => `${what} ${input.toString()}`);
  };

  test('a crash, and its input is made small', async () => {
    assert.deepEqual(await found('planted-crash'), ['error (((((']);
  });

  test('an endless loop, and the targets behind it still run', async () => {
    const [hang = ''] = await found('planted-hang');
    assert.match(hang, /^hang .*!!/s);
    assert.ok((await found('planted-crash')).length > 0);
  });

  test('a property that does not hold', async () => {
    const findings = await found('planted-property');
    assert.ok(findings.length > 0 && findings.every(each => each.startsWith('error ')), findings.join());
  });
});

/** With the input as base64: `base64 -d > test/fuzz/corpus/TARGET/NAME` keeps it. */
function described({ target, what, message, input }: Finding): string {
  return `${target}: ${what}: ${message}\n${input.toString('base64')}`;
}
