import { pathToFileURL } from 'node:url';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import type { NodeView, SchedulerPlugin } from './plugin-api.ts';
import type { Answer, Loaded, Question } from './protocol.ts';

/*
 * The thread in which a user's plugin runs: whatever it does there, the scheduler goes on.
 */

const port = parentPort as MessagePort;
const { file } = workerData as { readonly file: string };
const nodes = new Map<string, NodeView>();
const answer = (message: Answer) => port.postMessage(message);

try {
  const { plugin } = (await import(pathToFileURL(file).href)) as { readonly plugin?: unknown };
  const loaded = loadedFrom(plugin);
  port.on('message', (question: Question) => void respond(plugin as SchedulerPlugin, question));
  answer({ id: 0, error: undefined, loaded });
} catch (error) {
  answer({ id: 0, error: sentenceOf(error) });
}

function loadedFrom(plugin: unknown): Loaded {
  if (typeof plugin !== 'object' || plugin === null)
    throw new Error(
      'it exports no plugin; it has to have `export const plugin = { name: …, filter(pod, node) { … } }`',
    );
  const { name, filter, score, concerns, configure } = plugin as Readonly<Record<string, unknown>>;
  if (typeof name !== 'string' || !/^[A-Za-z][A-Za-z0-9]{0,62}$/.test(name))
    throw new Error(`its plugin has to have a name of letters and digits, not ${shown(name)}`);
  for (const [what, value] of Object.entries({ filter, score, concerns, configure }))
    if (value !== undefined && typeof value !== 'function')
      throw new Error(`${what} of its plugin ${name} has to be a function, not ${shown(value)}`);
  if (filter === undefined && score === undefined)
    throw new Error(`its plugin ${name} has neither filter nor score, so there is nothing to ask it`);
  return { name, filters: filter !== undefined, scores: score !== undefined };
}

async function respond(plugin: SchedulerPlugin, question: Question): Promise<void> {
  const { id } = question;
  try {
    if (question.ask === 'configure') {
      await plugin.configure?.(question.args, question.schedulerName);
      return answer({ id, error: undefined, values: [] });
    }
    for (const name of question.gone) nodes.delete(name);
    for (const each of question.changed) nodes.set(each.node.metadata.name ?? '', each);
    const values = await judge(plugin, question);
    answer({ id, error: undefined, values });
  } catch (error) {
    answer({ id, error: sentenceOf(error) });
  }
}

async function judge(
  plugin: SchedulerPlugin,
  { ask, pod, names }: Extract<Question, { readonly ask: 'filter' | 'score' }>,
): Promise<readonly (string | number | undefined)[]> {
  if (plugin.concerns && !(await plugin.concerns(pod))) return [];
  const values: (string | number | undefined)[] = [];
  for (const name of names) {
    const view = nodes.get(name) as NodeView;
    const value: unknown = ask === 'filter' ? await plugin.filter?.(pod, view) : await plugin.score?.(pod, view);
    if (ask === 'filter' && value !== undefined && (typeof value !== 'string' || value === ''))
      throw new Error(`filter has to return nothing or why the node is refused, not ${shown(value)}`);
    if (ask === 'score' && !(typeof value === 'number' && value >= 0 && value <= 100))
      throw new Error(`score has to return a number from 0 to 100, not ${shown(value)}`);
    values.push(value as string | number | undefined);
  }
  return values;
}

function sentenceOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function shown(value: unknown): string {
  return typeof value === 'function' ? 'a function' : (JSON.stringify(value) ?? String(value)).slice(0, 100);
}
