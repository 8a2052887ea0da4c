/** Runs targets in a thread of its own, whose current input the other side can see while this one is stuck. */
import { parentPort, workerData } from 'node:worker_threads';
import { corpusOf, fuzz, type Finding } from './fuzzing.ts';
import { plantedTargets } from './targets/planted.ts';
import { targets } from './targets.ts';

export interface FuzzOrder {
  readonly target: string;
  readonly seed: number;
  readonly newMs: number;
}

export interface FuzzReport {
  readonly inputs: number;
  readonly findings: readonly (Omit<Finding, 'input'> & { readonly input: Uint8Array })[];
  readonly ways: readonly (readonly [string, Uint8Array])[];
}

export const sharedInputBytesMax = 128 * 1024;

if (parentPort) serve(workerData as SharedArrayBuffer, parentPort);

/** `shared`: four bytes of a counter, four of a length, then the input that is being read. */
function serve(shared: SharedArrayBuffer, port: NonNullable<typeof parentPort>): void {
  const numbers = new Int32Array(shared, 0, 2);
  const bytes = new Uint8Array(shared, 8);
  const onInput = (input: Buffer) => {
    const length = Math.min(input.length, sharedInputBytesMax);
    bytes.set(input.subarray(0, length));
    numbers[1] = length;
    Atomics.add(numbers, 0, 1);
  };
  port.on('message', ({ target: name, seed, newMs }: FuzzOrder) => {
    const target = [...targets, ...plantedTargets].find(each => each.name === name);
    if (!target) throw new Error(`there is no target ${name}`);
    void fuzz(target, { seed, newMs, corpus: corpusOf(name), onInput }).then(({ inputs, findings, ways }) => {
      const report: FuzzReport = { inputs, findings, ways: [...ways] };
      port.postMessage(report);
    });
  });
}
