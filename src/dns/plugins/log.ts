import { wrong, zoneName, zoneOf, type Directive } from '../corefile.ts';
import { codeName, typeNames } from '../dns-metrics.ts';
import { codeOf, responseCode, type Answer, type Query } from '../message.ts';
import { then, type Client, type Plugin } from '../plugin.ts';

const common =
  '{remote}:{port} - {>id} "{type} {class} {name} {proto} {size} {>do} {>bufsize}" {rcode} {>rflags} {rsize} {duration}';
const formats = new Map([
  ['{common}', common],
  ['{combined}', common],
]);
const classes = ['success', 'denial', 'error', 'all'] as const;
type Class = (typeof classes)[number];

interface Rule {
  readonly zones: readonly string[];
  readonly format: string;
  readonly classes: ReadonlySet<Class>;
}

/** `log [NAMES…] [FORMAT] { class CLASSES… }`: a line a query. */
export const log: Plugin = (directives, { zones }) => {
  const rules = directives.map(directive => ruleOf(directive, zones));
  return (next, { log: lines, clock }) =>
    (query, client) => {
      const rule = rules.find(each => zoneOf(query.name, each.zones) !== undefined);
      if (!rule) return next(query, client);
      const startMs = clock.monotonic();
      return then(next(query, client), answer => {
        if (rule.classes.has('all') || rule.classes.has(classOf(answer)))
          lines.info(written(rule.format, query, client, answer, clock.monotonic() - startMs));
        // Each query has its line: nobody may answer before us.
        return answer.kind === 'records' && answer.lasting ? { ...answer, lasting: undefined } : answer;
      });
    };
};

function ruleOf(directive: Directive, zones: readonly string[]): Rule {
  const names = directive.args.filter(arg => !arg.includes('{'));
  const asked = directive.args.filter(arg => arg.includes('{'));
  if (asked.length > 1) throw wrong(directive, 'more than one format');
  const chosen = new Set<Class>();
  for (const property of directive.block) {
    if (property.name !== 'class') throw wrong(property, 'unknown property of log');
    for (const arg of property.args) {
      const known = classes.find(each => each === arg);
      if (!known) throw wrong(property, `${JSON.stringify(arg)} is no class of responses`);
      chosen.add(known);
    }
  }
  return {
    zones: names.length > 0 ? names.map(name => zoneName(directive, name)) : zones,
    format: formats.get(asked[0] ?? '{common}') ?? asked[0] ?? common,
    classes: chosen.size > 0 ? chosen : new Set<Class>(['all']),
  };
}

function classOf(answer: Answer): Class {
  const code = codeOf(answer);
  if (code === responseCode.NXDOMAIN) return 'denial';
  if (code !== responseCode.NOERROR) return 'error';
  const count = answer.kind === 'records' ? answer.answers.length : answer.message.readUInt16BE(6);
  return count === 0 ? 'denial' : 'success';
}

function written(format: string, query: Query, client: Client, answer: Answer, tookMs: number): string {
  const values: Readonly<Record<string, string | undefined>> = {
    type: typeNames.get(query.type) ?? `TYPE${query.type}`,
    name: JSON.stringify(`${query.name}.`).slice(1, -1),
    class: 'IN',
    proto: client.transport,
    remote: client.address.includes(':') ? `[${client.address}]` : client.address,
    port: String(client.port ?? 0),
    size: String(query.message.length),
    rcode: codeName(codeOf(answer)),
    rsize: String(bytesOf(query, answer)),
    duration: `${(tookMs / 1000).toFixed(9)}s`,
    '>id': String(query.id),
    '>do': String(query.edns?.dnssec ?? false),
    '>bufsize': String(query.edns?.udpBytes ?? 512),
    '>rflags': flagsOf(query, answer),
    '>opcode': '0',
  };
  return format.replaceAll(
    /\{([^}]*)\}/g,
    (_, name: string) => (Object.hasOwn(values, name) ? values[name] : '-') ?? '-',
  );
}

function flagsOf(query: Query, answer: Answer): string {
  const authoritative = answer.kind === 'records' && answer.authoritative;
  return `qr${authoritative ? ',aa' : ''}${query.recursionDesired ? ',rd' : ''},ra`;
}

function bytesOf(query: Query, answer: Answer): number {
  if (answer.kind === 'message') return answer.message.length;
  const records = [...answer.answers, ...answer.authority, ...answer.additional];
  return records.reduce((sum, { wire }) => sum + wire.length, query.questionEnd);
}
