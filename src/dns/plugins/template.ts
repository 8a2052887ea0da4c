import { wrong, zoneName, zoneOf, type Directive } from '../corefile.ts';
import { typeNames } from '../dns-metrics.ts';
import { failure, recordType, responseCode, type Answer, type Query } from '../message.ts';
import type { CompilePattern, Groups, Pattern } from '../pattern.ts';
import type { Client, Plugin } from '../plugin.ts';
import { parseRecord } from '../presentation.ts';

interface Rule {
  readonly type: number;
  readonly zones: readonly string[];
  readonly matches: readonly Pattern[];
  readonly code: number;
  readonly answer: readonly Text[];
  readonly authority: readonly Text[];
  readonly additional: readonly Text[];
  /** Elsewhere a name that does not match is not there. */
  readonly fallthrough: readonly string[];
}

interface Filling {
  readonly query: Query;
  readonly client: Client;
  readonly zone: string;
  readonly groups: Groups;
}

type Text = (filling: Filling) => string;

/** `template CLASS TYPE [ZONE…] { match … answer … }`: answers that are made of the question. */
export const template: Plugin = (directives, { zones, pattern }) => {
  const rules = directives.map(directive => ruleOf(directive, zones, pattern));
  return next => (query, client) => {
    for (const rule of rules) {
      const said = ask(rule, query, client);
      if (said) return said;
    }
    return next(query, client);
  };
};

function ask(rule: Rule, query: Query, client: Client): Answer | undefined {
  const zone = zoneOf(query.name, rule.zones);
  if (zone === undefined || (rule.type !== recordType.ANY && rule.type !== query.type)) return undefined;
  const groups = rule.matches.map(match => match.exec(`${query.name}.`)).find(found => found !== undefined);
  if (!groups) return zoneOf(query.name, rule.fallthrough) === undefined ? failure(responseCode.NXDOMAIN) : undefined;
  if (rule.code === responseCode.SERVFAIL) return failure(rule.code);
  const filling: Filling = { query, client, zone, groups };
  const fill = (texts: readonly Text[]) => texts.map(text => parseRecord(text(filling)));
  return {
    kind: 'records',
    code: rule.code,
    authoritative: true,
    answers: fill(rule.answer),
    authority: fill(rule.authority),
    additional: fill(rule.additional),
  };
}

function ruleOf(directive: Directive, serverZones: readonly string[], pattern: CompilePattern): Rule {
  const [className, typeName, ...zones] = directive.args;
  if (className !== 'IN' && className !== 'ANY') throw wrong(directive, `invalid RR class ${className ?? ''}`);
  const type = typeNumber(directive, typeName ?? '');
  const own = zones.length > 0 ? zones.map(zone => zoneName(directive, zone)) : serverZones;
  const matches: Pattern[] = [];
  const texts = { answer: [] as Text[], authority: [] as Text[], additional: [] as Text[] };
  let code: number = responseCode.NOERROR;
  let fallthrough: readonly string[] = [];
  for (const property of directive.block) {
    const { name, args } = property;
    switch (name) {
      case 'match':
        if (args.length === 0) throw wrong(property, 'wrong argument count or unexpected line ending');
        for (const source of args)
          try {
            matches.push(pattern(source));
          } catch (error) {
            throw wrong(property, `could not parse regex: ${error instanceof Error ? error.message : String(error)}`);
          }
        break;
      case 'answer':
      case 'authority':
      case 'additional':
        if (args.length === 0) throw wrong(property, 'wrong argument count or unexpected line ending');
        texts[name].push(...args.map(text => textOf(property, text)));
        break;
      case 'rcode': {
        const wanted = (args[0] ?? '').toUpperCase();
        if (!Object.hasOwn(responseCode, wanted)) throw wrong(property, `unknown rcode ${args[0] ?? ''}`);
        code = responseCode[wanted as keyof typeof responseCode];
        break;
      }
      case 'fallthrough':
        fallthrough = args.length > 0 ? args.map(arg => zoneName(property, arg)) : own;
        break;
      default:
        throw wrong(property, `the property ${JSON.stringify(name)} is not served`);
    }
  }
  if (matches.length === 0) matches.push({ exec: text => ({ numbered: [text], named: new Map() }) });
  return { type, zones: own, matches, code, ...texts, fallthrough };
}

/** Go's template, as far as records need it: `{{ .Name }}`, `{{ .Group.b }}`, `{{ index .Match 1 }}`. */
function textOf(directive: Directive, text: string): Text {
  const parts = text.split(/(\{\{.*?\}\})/).map((part): Text => {
    const expression = /^\{\{-?\s*(.*?)\s*-?\}\}$/.exec(part)?.[1];
    if (expression === undefined) return () => part;
    const group = /^\.Group\.(\w+)$/.exec(expression)?.[1] ?? /^index \.Group "([^"]+)"$/.exec(expression)?.[1];
    if (group !== undefined) return ({ groups }) => groups.named.get(group) ?? groups.numbered[Number(group)] ?? '';
    const place = /^index \.Match (\d{1,3})$/.exec(expression)?.[1];
    if (place !== undefined) return ({ groups }) => groups.numbered[Number(place)] ?? '';
    switch (expression) {
      case '.Name':
        return ({ query }) => `${query.name}.`;
      case '.Zone':
        return ({ zone }) => `${zone}.`;
      case '.Type':
        return ({ query }) => typeNames.get(query.type) ?? `TYPE${query.type}`;
      case '.Class':
        return () => 'IN';
      case '.Remote':
        return ({ client }) => client.address;
      default:
        throw wrong(directive, `the expression {{ ${expression} }} is not served`);
    }
  });
  return filling => parts.map(part => part(filling)).join('');
}

function typeNumber(directive: Directive, text: string): number {
  const name = text.toUpperCase();
  if (!Object.hasOwn(recordType, name)) throw wrong(directive, `invalid RR type ${text}`);
  return recordType[name as keyof typeof recordType];
}
