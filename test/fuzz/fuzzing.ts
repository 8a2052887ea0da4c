import { readdirSync, readFileSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { seededRandom, type Random } from '#base/random.ts';
import { join } from 'node:path';
import { mutated } from './mutate.ts';
import { below, pick, type Target, Violation } from './target.ts';

/** An input that is read as it must not be. */
export interface Finding {
  readonly target: string;
  readonly what: 'error' | 'hang' | 'memory' | 'slow';
  readonly message: string;
  readonly input: Buffer;
}

export interface FuzzRun {
  readonly inputs: number;
  readonly findings: readonly Finding[];
  /** Inputs that took a way of their own. */
  readonly ways: ReadonlyMap<string, Buffer>;
}

export interface FuzzOptions {
  readonly seed: number;
  /** Inputs that are read first, unchanged. */
  readonly corpus: readonly Buffer[];
  /** How long new inputs are made. */
  readonly newMs: number;
  /** Called before each input is read, for whoever looks on from outside. */
  readonly onInput?: (input: Buffer) => void;
}

const cpuMsMax = 2_000;
const endMsMax = 10_000;
const memoryBytesMax = 512 * 1024 * 1024;
const poolMax = 2_000;
const findingsMax = 20;

export const corpusDirectory = join(import.meta.dirname, 'corpus');

/** What is kept of a target: inputs that failed once, and inputs worth beginning with. */
export function corpusOf(name: string): readonly Buffer[] {
  const directory = join(corpusDirectory, name);
  return filesIn(directory).map(file => readFileSync(join(directory, file)));
}

function filesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory).toSorted();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/** Reads the corpus, then new inputs for a while. One finding a kind of fault, made as small as it easily can be. */
export async function fuzz(target: Target, options: FuzzOptions): Promise<FuzzRun> {
  const { seed, corpus, newMs, onInput } = options;
  const random = seededRandom(seed);
  const findings = new Map<string, Finding>();
  const ways = new Map<string, Buffer>();
  const pool: Buffer[] = [];
  let inputs = 0;

  const read = async (input: Buffer): Promise<void> => {
    inputs++;
    onInput?.(input);
    const outcome = await outcomeOf(target, input);
    if (outcome.what === undefined) {
      if (ways.has(outcome.way) || ways.size >= poolMax) return;
      ways.set(outcome.way, input);
      if (!target.isGenerated) pool.push(input);
      return;
    }
    const kind = `${outcome.what} ${outcome.kind}`;
    if (findings.has(kind) || findings.size >= findingsMax) return;
    const { what, message } = outcome;
    const least = what === 'error' && !target.isGenerated ? await reduced(target, input, kind, onInput) : input;
    findings.set(kind, { target: target.name, what, message, input: least });
  };

  for (const input of corpus) await read(input);
  const first = target.seeds().map(seed_ => Buffer.from(seed_));
  for (const input of first) await read(input);
  pool.push(...(target.isGenerated ? [] : [...corpus, ...first]));
  const other = () => (pool.length > 0 ? pick(random, pool) : Buffer.alloc(0));
  const endMs = performance.now() + newMs;
  while (performance.now() < endMs) {
    await read(nextInput(target, other, random));
    // Whoever waits for messages must get a turn.
    if (inputs % 64 === 0) await nextTurn();
  }
  return { inputs, findings: [...findings.values()], ways };
}

function nextInput(target: Target, other: () => Buffer, random: Random): Buffer {
  const made = target.generate;
  if (made && (target.isGenerated || random.next() < 0.2)) {
    const input = Buffer.from(made.call(target, random));
    return target.isGenerated || random.next() < 0.3 ? input : mutated(target, input, other, random);
  }
  return mutated(target, other(), other, random);
}

type Outcome =
  | { readonly what: undefined; readonly way: string }
  | { readonly what: Finding['what']; readonly kind: string; readonly message: string };

let memoryBytesBefore = 0;
let sinceMemory = 0;

async function outcomeOf(target: Target, input: Buffer): Promise<Outcome> {
  const before = process.threadCpuUsage();
  const outcome = await readOnce(target, input);
  if (outcome.what !== undefined) return outcome;
  const { user, system } = process.threadCpuUsage(before);
  const cpuMs = (user + system) / 1000;
  if (cpuMs > (target.cpuMsMax ?? cpuMsMax))
    return { what: 'slow', kind: 'slow', message: `${input.length} bytes took ${Math.round(cpuMs)} ms` };
  if (++sinceMemory >= 32) {
    sinceMemory = 0;
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    if (heapUsed + arrayBuffers - memoryBytesBefore > memoryBytesMax)
      return { what: 'memory', kind: 'memory', message: `memory grew to ${heapUsed + arrayBuffers} bytes` };
    memoryBytesBefore ||= heapUsed + arrayBuffers;
  }
  return outcome;
}

async function readOnce(target: Target, input: Buffer): Promise<Outcome> {
  try {
    const answer = target.run(input);
    return { what: undefined, way: typeof answer === 'string' ? answer : await inTime(answer) };
  } catch (error) {
    if (error === tooLong) return { what: 'hang', kind: 'hang', message: 'it does not come to an end' };
    if (!(error instanceof Violation) && target.declares(error))
      return { what: undefined, way: `refused: ${wayOf(error)}` };
    return {
      what: 'error',
      kind: kindOf(error),
      message: error instanceof Error ? (error.stack ?? error.message) : String(error),
    };
  }
}

const tooLong = new Error('too long');

async function inTime(answer: Promise<string>): Promise<string> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(tooLong), endMsMax);
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** The words of a refusal without what was quoted of the input. */
function wayOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text
    .replaceAll(/"(?:[^"\\]|\\.)*"|'[^']*'/g, '…')
    .replaceAll(/\d+/g, '0')
    .slice(0, 120);
}

/** Faults are the same when they have one name and come from one line. */
function kindOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const frame = error.stack
    ?.split('\n')
    .find(line => /\((?:file:\/\/)?\/.*\/(?:src|targets)\//.test(line) && !line.includes('target.ts'));
  return `${error.name} ${frame?.trim() ?? ''} ${error instanceof Violation ? error.message.slice(0, 30) : ''}`;
}

const reductionsMax = 400;

/** Takes parts away for as long as the fault stays the same. */
async function reduced(
  target: Target,
  input: Buffer,
  kind: string,
  onInput?: (input: Buffer) => void,
): Promise<Buffer> {
  let least = input;
  let tries = 0;
  for (
    let part = Math.ceil(input.length / 2);
    part >= 1 && tries < reductionsMax;
    part = part === 1 ? 0 : Math.ceil(part / 2)
  )
    for (let at = 0; at < least.length && tries < reductionsMax; ) {
      const smaller = Buffer.concat([least.subarray(0, at), least.subarray(at + part)]);
      tries++;
      onInput?.(smaller);
      const outcome = await readOnce(target, smaller);
      if (outcome.what === 'error' && `error ${outcome.kind}` === kind) least = smaller;
      else at += part;
    }
  return least;
}

/** A number below 2^32 that differs from run to run. */
export function newSeed(): number {
  return below({ ...seededRandom(0), next: Math.random }, 2 ** 32);
}
