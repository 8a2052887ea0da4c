import { changesIn, type Change, type History, type WatchStream } from './history.ts';

/**
 * What is wrong with the watches, each as a sentence: every stream is in order, without repetition or gap, agrees with all
 * others, and its bookmarks and the lists say what was true at their revision.
 */
export function checkWatches(history: History): readonly string[] {
  const problems: string[] = [];
  const told = new Map<number, Change>();
  for (const stream of history.watches) {
    checkOrder(stream, problems);
    for (const entry of stream.entries) {
      if (entry.type === 'bookmark') continue;
      const before = told.get(entry.revision);
      if (!before) told.set(entry.revision, entry);
      else if (before.type !== entry.type || before.key !== entry.key || before.value !== entry.value)
        problems.push(
          `revision ${entry.revision} is ${describe(before)} and, for ${stream.client}, ${describe(entry)}`,
        );
    }
  }
  checkAcknowledged(history, told, problems);
  checkGaps(history, told, problems);
  checkLists(history, problems);
  return problems;
}

function checkOrder({ client, after, entries }: WatchStream, problems: string[]): void {
  let last = after;
  for (const entry of entries) {
    const isBookmark = entry.type === 'bookmark';
    // A bookmark may repeat the revision of what came before it; a change may not.
    if (entry.revision < last || (entry.revision === last && !isBookmark))
      problems.push(`${client} hears of ${describe(entry)} after revision ${last}`);
    last = Math.max(last, entry.revision);
  }
}

/** What was acknowledged is told with the same revision and value. */
function checkAcknowledged({ operations }: History, told: ReadonlyMap<number, Change>, problems: string[]): void {
  const newest = Math.max(0, ...told.keys());
  const oldest = Math.min(Number.POSITIVE_INFINITY, ...told.keys());
  for (const { kind, client, key, value, outcome } of operations) {
    if ((kind !== 'create' && kind !== 'update') || outcome.type !== 'done') continue;
    const { revision = 0 } = outcome;
    if (revision < oldest || revision > newest) continue;
    const event = told.get(revision);
    if (!event) problems.push(`no watch has told of revision ${revision}, which ${client} was given for ${key}`);
    else if (event.key !== key || event.value !== value)
      problems.push(`${client} was given revision ${revision} for ${key}=${value}, which is ${describe(event)}`);
  }
}

function checkGaps({ watches }: History, told: ReadonlyMap<number, Change>, problems: string[]): void {
  const revisions = [...told.keys()].toSorted((a, b) => a - b);
  for (const { client, after, entries } of watches) {
    const last = Math.max(after, ...entries.map(entry => entry.revision));
    const heard = new Set(entries.filter(entry => entry.type !== 'bookmark').map(entry => entry.revision));
    for (const revision of revisions)
      if (revision > after && revision <= last && !heard.has(revision))
        problems.push(`${client} has not heard of ${describe(told.get(revision) as Change)}, but of what came later`);
  }
}

/** Each list is the state at its revision, played back from the first one. */
function checkLists(history: History, problems: string[]): void {
  const lists = history.lists.toSorted((a, b) => a.revision - b.revision);
  const changes = changesIn(history);
  const [first] = lists;
  if (!first) return;
  const newest = changes.at(-1)?.revision ?? first.revision;
  const state = new Map(first.entries.map(entry => [entry.key, `${entry.revision} ${entry.value}`]));
  let at = changes.findIndex(change => change.revision > first.revision);
  if (at < 0) at = changes.length;
  for (const { client, revision, entries } of lists) {
    if (revision > newest) continue;
    for (let change = changes[at]; change && change.revision <= revision; change = changes[++at]) {
      if (change.type === 'put') state.set(change.key, `${change.revision} ${change.value}`);
      else state.delete(change.key);
    }
    const listed = new Map(entries.map(entry => [entry.key, `${entry.revision} ${entry.value}`]));
    for (const key of new Set([...state.keys(), ...listed.keys()]))
      if (state.get(key) !== listed.get(key))
        problems.push(
          `${client} lists ${key} as ${listed.get(key) ?? 'absent'} at revision ${revision}, where it is ${state.get(key) ?? 'absent'}`,
        );
  }
}

function describe(entry: WatchStream['entries'][number]): string {
  if (entry.type === 'bookmark') return `the bookmark ${entry.revision}`;
  return entry.type === 'put'
    ? `${entry.key}=${entry.value} at ${entry.revision}`
    : `the deletion of ${entry.key}=${entry.value} at ${entry.revision}`;
}
