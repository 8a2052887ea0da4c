import type { LabelSelector } from '../meta/v1/label-selector.ts';
import { isLabelValue, isQualifiedName } from './names.ts';

/** One condition of a label selector; all of them must hold. Upstream's spelling of the operators. */
export interface LabelRequirement {
  readonly key: string;
  readonly operator: 'in' | 'notin' | '=' | '==' | '!=' | 'exists' | '!' | 'gt' | 'lt';
  /** Sorted, each once. */
  readonly values: readonly string[];
}

export type Labels = Readonly<Record<string, string>>;
export type LabelPredicate = (labels: Labels | undefined) => boolean;

/** Parses `a=b,c in (d,e),!f`. Throws an Error in upstream's words. Sorted by key. */
export function parseLabelSelector(text: string): LabelRequirement[] {
  return new SelectorParser(tokensOf(text)).requirements().sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
}

/** Does the selector of an object (Service excepted: that is a plain map) select these labels? Absent selects nothing, empty all. */
export function labelSelectorMatches(selector: LabelSelector | undefined, labels: Labels | undefined): boolean {
  return compileLabelSelector(selector)(labels);
}

/** The selector as a function, remembered for as long as the selector lives. An unknown operator selects nothing. */
export function compileLabelSelector(selector: LabelSelector | undefined): LabelPredicate {
  if (!selector) return nothing;
  const known = compiled.get(selector);
  if (known) return known;
  const predicate = isSound(selector) ? compileRequirements(requirementsOf(selector)) : nothing;
  compiled.set(selector, predicate);
  return predicate;
}

export function compileRequirements(requirements: readonly LabelRequirement[]): LabelPredicate {
  if (requirements.length === 0) return () => true;
  const tests = requirements.map(compileRequirement);
  if (tests.length === 1) return tests[0] as LabelPredicate;
  return labels => tests.every(test => test(labels));
}

/** A plain map of labels, as Service and ReplicationController have it. Empty or absent selects nothing. */
export function compileLabelMap(wanted: Labels | undefined): LabelPredicate {
  const entries = Object.entries(wanted ?? {});
  if (entries.length === 0) return nothing;
  return labels => labels !== undefined && entries.every(([key, value]) => labels[key] === value);
}

export function requirementsOf({ matchLabels, matchExpressions }: LabelSelector): LabelRequirement[] {
  const equalities = Object.entries(matchLabels ?? {}).map(
    ([key, value]): LabelRequirement => ({ key, operator: '=', values: [value] }),
  );
  const expressions = (matchExpressions ?? []).map(({ key, operator, values }): LabelRequirement => {
    return { key, operator: expressionOperators[operator] ?? 'exists', values: values ?? [] };
  });
  return [...equalities, ...expressions].sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
}

/** `a=b,c in (d,e)`, or `<none>`. */
export function formatLabelSelector(selector: LabelSelector | undefined): string {
  if (!selector) return '<none>';
  if (!isSound(selector)) return '<error>';
  return formatRequirements(requirementsOf(selector)) || '<none>';
}

export function formatRequirements(requirements: readonly LabelRequirement[]): string {
  return requirements.map(formatRequirement).join(',');
}

/** One condition of a field selector. */
export interface FieldRequirement {
  readonly field: string;
  readonly operator: '=' | '!=';
  readonly value: string;
}

/** Parses `metadata.name=x,status.phase!=Running`; `\\`, `\,` and `\=` are escapes in values. Throws in upstream's words. */
export function parseFieldSelector(text: string): FieldRequirement[] {
  return splitTerms(text)
    .filter(term => term !== '')
    .map(term => {
      const match = /!=|==|=/.exec(term);
      if (!match) throw new Error(`invalid selector: '${text}'; can't understand '${term}'`);
      const operator = match[0] === '!=' ? '!=' : '=';
      return {
        field: term.slice(0, match.index),
        operator,
        value: unescapeValue(term.slice(match.index + match[0].length)),
      };
    });
}

export function formatFieldSelector(requirements: readonly FieldRequirement[]): string {
  return requirements
    .map(({ field, operator, value }) => `${field}${operator}${value.replace(/[\\,=]/g, '\\$&')}`)
    .join(',');
}

const nothing: LabelPredicate = () => false;
const compiled = new WeakMap<LabelSelector, LabelPredicate>();

const expressionOperators: Readonly<Record<string, LabelRequirement['operator']>> = {
  In: 'in',
  NotIn: 'notin',
  Exists: 'exists',
  DoesNotExist: '!',
};

/** Upstream refuses to interpret a selector with an unknown operator or a wrong number of values. */
function isSound({ matchExpressions }: LabelSelector): boolean {
  return (matchExpressions ?? []).every(({ operator, values = [] }) => {
    if (operator === 'In' || operator === 'NotIn') return values.length > 0;
    return (operator === 'Exists' || operator === 'DoesNotExist') && values.length === 0;
  });
}

function compileRequirement({ key, operator, values }: LabelRequirement): LabelPredicate {
  const [first] = values;
  const set = new Set(values);
  switch (operator) {
    case '=':
    case '==':
      return labels => labels !== undefined && labels[key] === first;
    case '!=':
      return labels => labels === undefined || labels[key] !== first;
    case 'in':
      return labels => labels !== undefined && set.has(labels[key] as string);
    case 'notin':
      return labels => labels === undefined || !set.has(labels[key] as string);
    case 'exists':
      return labels => labels !== undefined && Object.hasOwn(labels, key);
    case '!':
      return labels => labels === undefined || !Object.hasOwn(labels, key);
    case 'gt':
    case 'lt':
      return compileComparison(key, operator, first ?? '');
  }
}

function compileComparison(key: string, operator: 'gt' | 'lt', bound: string): LabelPredicate {
  const limit = parseInteger(bound);
  return labels => {
    const value = labels && Object.hasOwn(labels, key) ? parseInteger(labels[key] as string) : undefined;
    if (value === undefined || limit === undefined) return false;
    return operator === 'gt' ? value > limit : value < limit;
  };
}

/** Go's ParseInt in base 10. */
function parseInteger(text: string): bigint | undefined {
  if (!/^[-+]?[0-9]{1,19}$/.test(text)) return undefined;
  const value = BigInt(text.replace(/^\+/, ''));
  return BigInt.asIntN(64, value) === value ? value : undefined;
}

function formatRequirement({ key, operator, values }: LabelRequirement): string {
  const listed = values.toSorted().join(',');
  switch (operator) {
    case 'exists':
      return key;
    case '!':
      return `!${key}`;
    case 'in':
    case 'notin':
      return `${key} ${operator} (${listed})`;
    case 'gt':
      return `${key}>${listed}`;
    case 'lt':
      return `${key}<${listed}`;
    default:
      return `${key}${operator}${listed}`;
  }
}

interface Token {
  readonly type: 'end' | 'word' | 'symbol' | 'error';
  readonly text: string;
}

const end: Token = { type: 'end', text: '' };

function tokensOf(text: string): Token[] {
  const tokens: Token[] = [];
  for (const [token] of text.matchAll(/==|!=|[=!(),<>]|[^=!(),<>\s]+/g))
    tokens.push({ type: /^[=!(),<>]/.test(token) ? 'symbol' : 'word', text: token });
  tokens.push(end);
  return tokens;
}

const operators: Readonly<Record<string, LabelRequirement['operator']>> = {
  in: 'in',
  notin: 'notin',
  '=': '=',
  '==': '==',
  '!=': '!=',
  '>': 'gt',
  '<': 'lt',
};

class SelectorParser {
  readonly #tokens: readonly Token[];
  #index = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  requirements(): LabelRequirement[] {
    const found: LabelRequirement[] = [];
    for (;;) {
      const token = this.#peek();
      if (token.type === 'end') return found;
      if (token.type !== 'word' && token.text !== '!')
        throw new Error(`found '${token.text}', expected: !, identifier, or 'end of string'`);
      found.push(this.#requirement());
      const after = this.#next();
      if (after.type === 'end') return found;
      if (after.text !== ',') throw new Error(`found '${after.text}', expected: ',' or 'end of string'`);
      const following = this.#peek();
      if (following.type !== 'word' && following.text !== '!')
        throw new Error(`found '${following.text}', expected: identifier after ','`);
    }
  }

  #requirement(): LabelRequirement {
    const negated = this.#peek().text === '!';
    if (negated) this.#next();
    const key = this.#next();
    if (key.type !== 'word') refuse(`found '${key.text}', expected: identifier`);
    const messages = isQualifiedName(key.text);
    if (messages.length > 0) refuse(`<nil>: Invalid value: ${JSON.stringify(key.text)}: ${messages.join('; ')}`);
    const following = this.#peek();
    if (negated) return { key: key.text, operator: '!', values: [] };
    if (following.type === 'end' || following.text === ',') return { key: key.text, operator: 'exists', values: [] };
    return this.#operation(key.text);
  }

  #operation(key: string): LabelRequirement {
    const token = this.#next();
    const operator = Object.hasOwn(operators, token.text) ? operators[token.text] : undefined;
    if (!operator) return refuse(`found '${token.text}', expected: in, notin, =, ==, !=, gt, lt`);
    const isSet = operator === 'in' || operator === 'notin';
    const values = [...new Set(isSet ? this.#set() : [this.#exactValue()])].sort();
    checkValues(key, operator, values);
    return { key, operator, values };
  }

  #exactValue(): string {
    const token = this.#peek();
    if (token.type === 'end' || token.text === ',') return '';
    this.#next();
    return token.type === 'word' ? token.text : refuse(`found '${token.text}', expected: identifier`);
  }

  #set(): string[] {
    const open = this.#next();
    if (open.text !== '(') refuse(`found '${open.text}' expected: '('`);
    const values: string[] = [];
    let wasComma = true;
    for (;;) {
      const token = this.#next();
      if (token.text === ')') {
        if (wasComma) values.push('');
        return values;
      }
      if (token.text === ',') {
        if (wasComma) values.push('');
        wasComma = true;
      } else if (token.type === 'word') {
        if (!wasComma) refuse(`found '${token.text}', expected: ',' or ')'`);
        values.push(token.text);
        wasComma = false;
      } else {
        refuse(`found '${token.text}', expected: ${wasComma ? "',', or identifier" : "',' or ')'"}`);
      }
    }
  }

  #peek(): Token {
    return this.#tokens[this.#index] ?? end;
  }

  #next(): Token {
    return this.#tokens[this.#index++] ?? end;
  }
}

function refuse(message: string): never {
  throw new Error(`unable to parse requirement: ${message}`);
}

function checkValues(key: string, operator: LabelRequirement['operator'], values: readonly string[]): void {
  const found: string[] = [];
  if (operator === 'gt' || operator === 'lt') {
    for (const [index, value] of values.entries())
      if (parseInteger(value) === undefined)
        found.push(
          `values[${index}]: Invalid value: ${JSON.stringify(value)}: for 'Gt', 'Lt' operators, the value must be an integer`,
        );
  }
  for (const [index, value] of values.entries()) {
    const messages = isLabelValue(value);
    if (messages.length > 0)
      found.push(`values[${index}][${key}]: Invalid value: ${JSON.stringify(value)}: ${messages.join('; ')}`);
  }
  if (found.length > 0) refuse(found.length === 1 ? (found[0] as string) : `[${found.join(', ')}]`);
}

/** Splits at commas that are not escaped. */
function splitTerms(text: string): string[] {
  const terms: string[] = [];
  let start = 0;
  for (let index = 0; index < text.length; index++) {
    if (text[index] === '\\') index++;
    else if (text[index] === ',') {
      terms.push(text.slice(start, index));
      start = index + 1;
    }
  }
  terms.push(text.slice(start));
  return terms;
}

function unescapeValue(text: string): string {
  let value = '';
  for (let index = 0; index < text.length; index++) {
    const character = text[index] as string;
    if (character === '\\') {
      const escaped = text[++index] ?? '';
      if (escaped !== '\\' && escaped !== ',' && escaped !== '=')
        throw new Error(`invalid field selector: invalid escape sequence: \\${escaped}`);
      value += escaped;
    } else if (character === ',' || character === '=') {
      throw new Error(`invalid field selector: unescaped character in value: ${character.charCodeAt(0)}`);
    } else {
      value += character;
    }
  }
  return value;
}
