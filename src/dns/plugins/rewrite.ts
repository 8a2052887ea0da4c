import { wholeNumber, wrong, zoneName, type Directive } from '../corefile.ts';
import {
  askedOtherwise,
  changeRecord,
  detachedRecords,
  ownerOf,
  recordType,
  ttlSecondsOf,
  type Answer,
  type Query,
  type Record,
} from '../message.ts';
import type { CompilePattern, Groups } from '../pattern.ts';
import { then, type Plugin } from '../plugin.ts';

/** What a line makes of a query, and of the answer to it. */
interface Change {
  readonly query: Query;
  readonly answered?: (record: Record) => Record;
}

interface Rule {
  readonly goOn: boolean;
  apply(query: Query): Change | undefined;
}

const matchers = ['exact', 'prefix', 'suffix', 'substring', 'regex'] as const;
type Matcher = (typeof matchers)[number];

/**
 * `rewrite [continue|stop] name|type|ttl …`: asks for something else than the client did. The answer is under the name that
 * was asked for.
 */
export const rewrite: Plugin = (directives, { pattern }) => {
  const rules = directives.map(directive => ruleOf(directive, pattern));
  return next => (original, client) => {
    let query = original;
    const answered: ((record: Record) => Record)[] = [];
    for (const rule of rules) {
      const change = rule.apply(query);
      if (!change) continue;
      query = change.query;
      if (change.answered) answered.unshift(change.answered);
      if (!rule.goOn) break;
    }
    if (query === original && answered.length === 0) return next(original, client);
    const rewritten = query;
    return then(next(rewritten, client), answer => restored(answer, rewritten.name, answered));
  };
};

function restored(answer: Answer, name: string, changes: readonly ((record: Record) => Record)[]): Answer {
  const whole = answer.kind === 'records' ? answer : detachedRecords(answer.message);
  const restore = (records: readonly Record[]) =>
    records.map(record => {
      // What is said of the name that we have asked for holds for the name that the client has.
      const asked = ownerOf(record)?.toLowerCase() === name ? changeRecord(record, { owner: null }) : record;
      return changes.reduce((changed, change) => change(changed), asked);
    });
  return {
    ...whole,
    answers: restore(whole.answers),
    authority: whole.authority,
    additional: restore(whole.additional),
    lasting: undefined,
  };
}

function ruleOf(directive: Directive, pattern: CompilePattern): Rule {
  let words = directive.args;
  let goOn = false;
  if (words[0] === 'continue' || words[0] === 'stop') {
    goOn = words[0] === 'continue';
    words = words.slice(1);
  }
  // The block form: the rule in its first line, what to do with the answer in the others.
  if (words.length === 0 && directive.block.length > 0) {
    const [first, ...rest] = directive.block as [Directive, ...Directive[]];
    words = [first.name, ...first.args, ...rest.flatMap(({ name, args }) => [name, ...args])];
  } else if (directive.block.length > 0) throw wrong(directive, 'a rule and a block');
  const [field, ...rest] = words;
  switch (field) {
    case 'type': {
      const [from, to] = rest.map(text => typeOf(directive, text));
      if (from === undefined || to === undefined || rest.length !== 2) throw wrong(directive, 'type FROM TO');
      return {
        goOn,
        apply: query => (query.type === from ? { query: askedOtherwise(query, query.name, to) } : undefined),
      };
    }
    case 'name':
      return nameRule(directive, rest, goOn, pattern);
    case 'ttl': {
      const known = matchers.find(each => each === rest[0]);
      const [name = '', range = ''] = known ? rest.slice(1) : rest;
      const matches = matcherOf(directive, known ?? 'exact', name, pattern);
      const [min, max] = secondsRange(directive, range);
      const answered = (record: Record) =>
        changeRecord(record, { ttlSeconds: Math.min(max, Math.max(min, ttlSecondsOf(record))) });
      return { goOn, apply: query => (matches(query.name) ? { query, answered } : undefined) };
    }
    default:
      throw wrong(directive, `the field ${JSON.stringify(field ?? '')} is not served: name, type and ttl are`);
  }
}

function nameRule(directive: Directive, words: readonly string[], goOn: boolean, pattern: CompilePattern): Rule {
  const known = matchers.find(each => each === words[0]);
  const [from, to, ...options] = known ? words.slice(1) : words;
  if (from === undefined || to === undefined) throw wrong(directive, 'name [exact|prefix|…] FROM TO');
  const matches = matcherOf(directive, known ?? 'exact', from, pattern);
  const target =
    known === undefined || known === 'exact' ? zoneName(directive, to) : to.toLowerCase().replace(/\.$/, '');
  const answered = answerRules(directive, options, pattern);
  const wanted = known ?? 'exact';
  const source = from.toLowerCase().replace(/\.$/, '');
  return {
    goOn,
    apply(query) {
      const match = matches(query.name);
      if (!match) return undefined;
      const name = renamed(wanted, query.name, source, target, match);
      // A name that has no form in DNS is no rewriting.
      if (name.length > 253 || name.split('.').some(label => label === '' || label.length > 63)) return undefined;
      return { query: askedOtherwise(query, name, query.type), ...(answered && { answered }) };
    },
  };
}

function renamed(matcher: Matcher, name: string, from: string, to: string, match: Groups): string {
  switch (matcher) {
    case 'exact':
      return to;
    case 'prefix':
      return to + name.slice(from.length);
    case 'suffix':
      return name.slice(0, name.length - from.length) + to;
    case 'substring':
      return name.replaceAll(from, () => to);
    case 'regex':
      return substitute(to, match);
  }
}

/** `{1}` is what the first group has matched. */
function substitute(template: string, { numbered }: Groups): string {
  return template.replaceAll(/\{(\d{1,2})\}/g, (_, place: string) => numbered[Number(place)] ?? '');
}

function matcherOf(
  directive: Directive,
  matcher: Matcher,
  from: string,
  pattern: CompilePattern,
): (name: string) => Groups | undefined {
  const text = from.toLowerCase().replace(/\.$/, '');
  const all: Groups = { numbered: [], named: new Map() };
  switch (matcher) {
    case 'exact':
      return name => (name === text ? all : undefined);
    case 'prefix':
      return name => (name.startsWith(text) ? all : undefined);
    case 'suffix':
      return name => (name.endsWith(text) ? all : undefined);
    case 'substring':
      return name => (name.includes(text) ? all : undefined);
    case 'regex': {
      const regex = compiled(directive, from, pattern);
      // Upstream's names end in a dot, and so do its patterns, more or less.
      return name => regex(`${name}.`) ?? regex(name);
    }
  }
}

function compiled(directive: Directive, source: string, pattern: CompilePattern): (text: string) => Groups | undefined {
  try {
    const expression = pattern(source);
    return text => expression.exec(text);
  } catch (error) {
    throw wrong(directive, `invalid regex pattern: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** `answer auto`, `answer name FROM TO`, `answer value FROM TO`, as often as wanted. */
function answerRules(
  directive: Directive,
  words: readonly string[],
  pattern: CompilePattern,
): ((record: Record) => Record) | undefined {
  const changes: ((record: Record) => Record)[] = [];
  for (let at = 0; at < words.length; ) {
    if (words[at] !== 'answer') throw wrong(directive, `unexpected ${JSON.stringify(words[at])}`);
    const what = words[at + 1];
    if (what === 'auto') {
      at += 2;
      continue;
    }
    const [from, to] = [words[at + 2], words[at + 3]];
    if ((what !== 'name' && what !== 'value') || from === undefined || to === undefined)
      throw wrong(directive, 'answer auto, answer name FROM TO or answer value FROM TO');
    at += 4;
    const regex = compiled(directive, from, pattern);
    const change = (name: string): string => {
      const match = regex(`${name.toLowerCase()}.`) ?? regex(name.toLowerCase());
      const wanted = match ? substitute(to, match).replace(/\.$/, '') : name;
      return wanted.length <= 253 && wanted.split('.').every(label => label !== '' && label.length <= 63)
        ? wanted
        : name;
    };
    changes.push(record => {
      if (what === 'value') return changeRecord(record, { name: change });
      const owner = ownerOf(record);
      return owner === undefined ? record : changeRecord(record, { owner: change(owner) });
    });
  }
  return changes.length === 0 ? undefined : record => changes.reduce((changed, change) => change(changed), record);
}

function typeOf(directive: Directive, text: string): number {
  const name = text.toUpperCase();
  if (!Object.hasOwn(recordType, name)) throw wrong(directive, `${JSON.stringify(text)} is no type`);
  return recordType[name as keyof typeof recordType];
}

const secondsMost = 0x7fff_ffff;

/** `30`, `30-300`, `30-`, `-300` */
function secondsRange(directive: Directive, text: string): readonly [min: number, max: number] {
  const found = /^(\d*)(-?)(\d*)$/.exec(text);
  const [, low = '', dash = '', high = ''] = found ?? [];
  if (!found || (low === '' && high === '')) throw wrong(directive, `${JSON.stringify(text)} is no TTL`);
  const min = low === '' ? 0 : wholeNumber(directive, low, 0, secondsMost);
  const max = dash === '' ? min : high === '' ? secondsMost : wholeNumber(directive, high, min, secondsMost);
  return [min, max];
}
