import { changesIn, type Change, type History, type Operation } from './history.ts';

/**
 * What contradicts linearizability, each as a sentence: for every object the requests must have an order in which each takes
 * effect between its call and its answer (Wing and Gong's search with Lowe's memory), and revisions must grow with time.
 */
export function checkLinearizable(history: History): readonly string[] {
  const problems: string[] = [];
  const changes = changesIn(history);
  const operations = resolved(history.operations, changes);
  checkTime(history, problems);
  for (const steps of Map.groupBy(operations, step => step.operation.key).values()) {
    const stuck = search(steps);
    if (stuck) problems.push(stuck);
  }
  return problems;
}

interface Step {
  readonly operation: Operation;
  /** When it has taken effect at the latest. */
  readonly untilMs: number;
  /** Its answer was lost: it may never have been done. */
  readonly isOptional: boolean;
}

interface State {
  readonly revision: number;
  readonly value: string;
}

/** Writes without an answer: the watches tell whether they were done, and at which revision. */
function resolved(operations: readonly Operation[], changes: readonly Change[]): readonly Step[] {
  const puts = new Map(changes.filter(({ type }) => type === 'put').map(change => [change.value, change.revision]));
  const steps: Step[] = [];
  for (const operation of operations) {
    const { kind, value = '', outcome, returnedMs } = operation;
    if (outcome.type !== 'unknown') {
      steps.push({ operation, untilMs: returnedMs, isOptional: false });
    } else if (kind === 'delete') {
      const done = { ...operation, outcome: { type: 'done' } } as const;
      steps.push({ operation: done, untilMs: Number.POSITIVE_INFINITY, isOptional: true });
    } else if (kind !== 'get' && puts.has(value)) {
      const done = { ...operation, outcome: { type: 'done', revision: puts.get(value) as number } } as const;
      steps.push({ operation: done, untilMs: Number.POSITIVE_INFINITY, isOptional: false });
    }
  }
  return steps.toSorted((a, b) => a.operation.calledMs - b.operation.calledMs);
}

/** `undefined` where the operation cannot take effect in this state with this outcome. */
function applied({ operation }: Step, state: State | undefined): { readonly next: State | undefined } | undefined {
  const { kind, outcome, value = '', expected } = operation;
  const isExpected = state !== undefined && (expected === undefined || state.revision === expected);
  switch (outcome.type) {
    case 'absent':
      return state === undefined ? { next: state } : undefined;
    case 'present':
      return state !== undefined ? { next: state } : undefined;
    case 'conflict':
      return state !== undefined && !isExpected ? { next: state } : undefined;
    case 'unknown':
      return { next: state };
    case 'done':
  }
  const { revision = 0 } = outcome;
  if (kind === 'get')
    return state?.revision === revision && state.value === outcome.value ? { next: state } : undefined;
  if (kind === 'create') return state === undefined ? { next: { revision, value } } : undefined;
  if (kind === 'update') return isExpected ? { next: { revision, value } } : undefined;
  return isExpected ? { next: undefined } : undefined;
}

/** A sentence when there is no order; it names the first request that finds no place. */
function search(steps: readonly Step[]): string | undefined {
  const taken = new Uint8Array(steps.length);
  const seen = new Set<string>();
  let furthest = -1;
  // Depth first, with a stack of its own: one request after the other takes effect.
  const path: { index: number; state: State | undefined; candidates: readonly number[]; at: number }[] = [];
  // Every history begins without objects.
  let state: State | undefined;
  let frame = { index: -1, state, candidates: candidatesOf(steps, taken), at: 0 };
  while (true) {
    if (frame.candidates.length === 0 && isComplete(steps, taken)) return undefined;
    const index = frame.candidates[frame.at++];
    if (index === undefined) {
      const back = path.pop();
      if (!back) break;
      taken[frame.index] = 0;
      frame = back;
      ({ state } = frame);
      continue;
    }
    const outcome = applied(steps[index] as Step, state);
    if (!outcome) continue;
    taken[index] = 1;
    const memory = memoryOf(steps, taken, outcome.next);
    if (seen.has(memory)) {
      taken[index] = 0;
      continue;
    }
    seen.add(memory);
    if (isComplete(steps, taken)) return undefined;
    path.push(frame);
    state = outcome.next;
    frame = { index, state, candidates: candidatesOf(steps, taken), at: 0 };
    furthest = Math.max(furthest, firstLeft(steps, taken));
  }
  const { operation } = steps[Math.max(0, furthest)] as Step;
  return `no order explains ${describe(operation)}`;
}

/** Those that were called before the first of the others has had to be done. */
function candidatesOf(steps: readonly Step[], taken: Uint8Array): readonly number[] {
  let untilMs = Number.POSITIVE_INFINITY;
  const candidates: number[] = [];
  for (let index = firstLeft(steps, taken); index < steps.length; index++) {
    const step = steps[index] as Step;
    if (step.operation.calledMs > untilMs) break;
    if (taken[index]) continue;
    candidates.push(index);
    untilMs = Math.min(untilMs, step.untilMs);
  }
  // What could be done at any time, or never, comes before what is left.
  for (let index = 0; index < firstLeft(steps, taken); index++)
    if (!taken[index] && (steps[index] as Step).isOptional) candidates.push(index);
  return candidates;
}

/** The first that has to be done and is not; behind the end when there is none. */
function firstLeft(steps: readonly Step[], taken: Uint8Array): number {
  for (let index = 0; index < steps.length; index++)
    if (!taken[index] && !(steps[index] as Step).isOptional) return index;
  return steps.length;
}

function isComplete(steps: readonly Step[], taken: Uint8Array): boolean {
  return firstLeft(steps, taken) === steps.length;
}

function memoryOf(steps: readonly Step[], taken: Uint8Array, state: State | undefined): string {
  const first = firstLeft(steps, taken);
  const others: number[] = [];
  for (let index = 0; index < steps.length; index++) {
    const isOptional = (steps[index] as Step).isOptional;
    if (taken[index] && (isOptional || index > first)) others.push(index);
  }
  return `${first} ${others.join()} ${state?.revision ?? ''}`;
}

/** Over all objects: what was called after something was answered has a greater revision, and lists are not older. */
function checkTime({ operations, lists }: History, problems: string[]): void {
  interface Timed {
    readonly calledMs: number;
    readonly returnedMs: number;
    readonly revision: number;
    readonly isWrite: boolean;
    readonly what: string;
  }
  const timed: Timed[] = lists.map(({ client, revision, ...times }) => ({
    ...times,
    revision,
    isWrite: false,
    what: `${client} lists at revision ${revision}`,
  }));
  for (const operation of operations) {
    const { outcome, kind, calledMs, returnedMs } = operation;
    if (outcome.type !== 'done' || outcome.revision === undefined || kind === 'get') continue;
    timed.push({ calledMs, returnedMs, revision: outcome.revision, isWrite: true, what: describe(operation) });
  }
  const called = timed.toSorted((a, b) => a.calledMs - b.calledMs);
  const returned = timed.toSorted((a, b) => a.returnedMs - b.returnedMs);
  let newest = 0;
  let at = 0;
  for (const { calledMs, revision, isWrite, what } of called) {
    for (let done = returned[at]; done && done.returnedMs < calledMs; done = returned[++at])
      newest = Math.max(newest, done.revision);
    if (revision < newest || (isWrite && revision === newest))
      problems.push(`${what}, although revision ${newest} had been told before it was asked`);
  }
}

function describe({ client, kind, key, value, expected, outcome }: Operation): string {
  const what = value === undefined ? key : `${key}=${value}`;
  const where = expected === undefined ? '' : ` of revision ${expected}`;
  const found = outcome.type === 'done' ? `${outcome.value ?? ''}@${outcome.revision ?? ''}` : outcome.type;
  return `${client}: ${kind} ${what}${where} → ${found}`;
}
