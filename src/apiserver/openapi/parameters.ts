/** A parameter of an operation that is not its body. */
export interface Parameter {
  readonly name: string;
  readonly in: 'query' | 'path';
  readonly type: 'string' | 'boolean' | 'integer';
  readonly description: string;
}

function query(name: string, type: Parameter['type'], description: string): Parameter {
  return { name, in: 'query', type, description };
}

export const pretty = query('pretty', 'string', "'true' indents the answer.");
export const namespace: Parameter = {
  name: 'namespace',
  in: 'path',
  type: 'string',
  description: 'The namespace of the object.',
};
export const subpath: Parameter = { name: 'path', in: 'path', type: 'string', description: 'The path at the target.' };
export const logpath: Parameter = { name: 'logpath', in: 'path', type: 'string', description: 'The path of the log.' };

export function nameOf(kind: string): Parameter {
  return { name: 'name', in: 'path', type: 'string', description: `name of the ${kind}` };
}

const dryRun = query('dryRun', 'string', "'All' does everything but keep the result.");
const fieldValidation = query(
  'fieldValidation',
  'string',
  'What happens to unknown and duplicate fields: Ignore, Warn (the default) or Strict.',
);

export const write: readonly Parameter[] = [
  dryRun,
  query('fieldManager', 'string', 'Who makes this change, for the ownership of fields.'),
  fieldValidation,
];

export const patch: readonly Parameter[] = [
  dryRun,
  query('fieldManager', 'string', 'Who makes this change; required for apply.'),
  fieldValidation,
  query('force', 'boolean', 'Takes fields over that others own. For apply only.'),
];

export const removal: readonly Parameter[] = [
  dryRun,
  query('gracePeriodSeconds', 'integer', 'Seconds until the object is removed; 0 is at once.'),
  query(
    'ignoreStoreReadErrorWithClusterBreakingPotential',
    'boolean',
    'Removes an object that cannot be read, without finalizers and preconditions.',
  ),
  query('orphanDependents', 'boolean', 'Deprecated: use propagationPolicy.'),
  query('propagationPolicy', 'string', 'What happens to dependents: Orphan, Background or Foreground.'),
];

const selection: readonly Parameter[] = [
  query('continue', 'string', 'Where the previous page ended.'),
  query('fieldSelector', 'string', 'Restricts the result by fields.'),
  query('labelSelector', 'string', 'Restricts the result by labels.'),
  query('limit', 'integer', 'The greatest number of objects on a page.'),
  query('resourceVersion', 'string', 'How new the result has to be.'),
  query('resourceVersionMatch', 'string', 'How resourceVersion is meant: Exact or NotOlderThan.'),
  query('sendInitialEvents', 'boolean', 'A watch begins with what is there and a bookmark.'),
  query('shardSelector', 'string', 'Restricts the result to a share of the objects.'),
  query('timeoutSeconds', 'integer', 'How long a list or watch may take.'),
];

export const list: readonly Parameter[] = [
  query('allowWatchBookmarks', 'boolean', 'A watch may send bookmarks.'),
  ...selection,
  query('watch', 'boolean', 'Follows changes instead of listing.'),
];

export const removalOfMany: readonly Parameter[] = [...selection, ...removal];

const stdio = (verb: string): readonly Parameter[] => [
  query('container', 'string', `The container to ${verb}; needed where there are several.`),
  query('stderr', 'boolean', `Streams standard error (${verb}).`),
  query('stdin', 'boolean', `Streams standard input (${verb}).`),
  query('stdout', 'boolean', `Streams standard output (${verb}).`),
  query('tty', 'boolean', `Allocates a terminal (${verb}).`),
];

const proxied = (target: string) => [query('path', 'string', `The path at the ${target}.`)];

/** What connections and logs take: by the subresource, with its kind's plural for proxies. */
export const ofSubresource: Readonly<Record<string, readonly Parameter[]>> = {
  attach: stdio('attach to'),
  exec: [query('command', 'string', 'The command and, repeated, its arguments.'), ...stdio('run in')],
  portforward: [query('ports', 'integer', 'The ports to forward; for WebSockets.')],
  'pods/proxy': proxied('pod'),
  'services/proxy': proxied('service'),
  'nodes/proxy': proxied('node'),
  log: [
    query('container', 'string', 'The container; needed where there are several.'),
    query('follow', 'boolean', 'Goes on while the container runs.'),
    query('insecureSkipTLSVerifyBackend', 'boolean', "Does not verify the certificate of the node's agent."),
    query('limitBytes', 'integer', 'Ends after so many bytes.'),
    query('previous', 'boolean', 'The log of the container before its last restart.'),
    query('sinceSeconds', 'integer', 'Only lines of the last seconds.'),
    query('stream', 'string', 'All, Stdout or Stderr.'),
    query('tailLines', 'integer', 'Only so many last lines.'),
    query('timestamps', 'boolean', 'Each line with its time.'),
  ],
};
