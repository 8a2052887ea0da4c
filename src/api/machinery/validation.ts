import { encodeJson } from './json.ts';

/** The kinds of field errors, with the reason that stands in `details.causes[].reason`. */
export type FieldErrorType =
  | 'FieldValueRequired'
  | 'FieldValueInvalid'
  | 'FieldValueDuplicate'
  | 'FieldValueNotFound'
  | 'FieldValueNotSupported'
  | 'FieldValueForbidden'
  | 'FieldValueTooLong'
  | 'FieldValueTooMany'
  | 'FieldValueTypeInvalid'
  | 'InternalError';

/** One thing that is wrong with an object, as upstream's `field.Error`. */
export interface FieldError {
  readonly type: FieldErrorType;
  /** `spec.containers[0].name`; keys of maps in brackets: `spec.containers[0].resources.limits[cpu]`. */
  readonly field: string;
  /** The whole message without the field: `Invalid value: "x": must be …`. */
  readonly message: string;
}

/**
 * Where a validation writes what it finds. A report stands at a path; `at`, `index` and `key` step into the object.
 * All of upstream's phrases come from here, so that each is spelled once.
 */
export class Report {
  readonly errors: FieldError[];
  /** The path is made when something is wrong: good objects, nearly all, cost no texts. */
  readonly #above: Report | undefined;
  readonly #step: string | number;
  readonly #bracketed: boolean;
  #warnings: string[] | undefined;

  constructor(path = '', errors: FieldError[] = [], above?: Report, step: string | number = path, bracketed = false) {
    this.errors = errors;
    this.#above = above;
    this.#step = step;
    this.#bracketed = bracketed;
  }

  get path(): string {
    const above = this.#above?.path ?? '';
    if (this.#bracketed) return `${above}[${this.#step}]`;
    return above === '' ? String(this.#step) : `${above}.${this.#step}`;
  }

  /** What is not wrong enough to refuse the object: for Warning headers. */
  get warnings(): readonly string[] {
    return this.#above?.warnings ?? this.#warnings ?? [];
  }

  warn(message: string): void {
    if (this.#above) this.#above.warn(message);
    else (this.#warnings ??= []).push(message);
  }

  /** The report for a place whose whole path is known. */
  within(path: string): Report {
    return new Report('', this.errors, undefined, path);
  }

  /** The report for a field: `report.at('spec', 'replicas')`. */
  at(name: string, ...names: string[]): Report {
    let report = new Report('', this.errors, this, name);
    for (const each of names) report = new Report('', this.errors, report, each);
    return report;
  }

  /** The report for an item of a list: `containers[0]`. */
  index(position: number): Report {
    return new Report('', this.errors, this, position, true);
  }

  /** The report for an entry of a map: `limits[cpu]`. */
  key(name: string): Report {
    return new Report('', this.errors, this, name, true);
  }

  required(detail = ''): void {
    this.#add('FieldValueRequired', withDetail('Required value', detail));
  }

  invalid(value: unknown, detail: string): void {
    this.#add('FieldValueInvalid', withDetail(`Invalid value: ${shown(value)}`, detail));
  }

  /** Where the value says nothing, or must not be shown. */
  invalidUnseen(detail: string): void {
    this.#add('FieldValueInvalid', withDetail('Invalid value', detail));
  }

  duplicate(value: unknown, detail = ''): void {
    this.#add('FieldValueDuplicate', withDetail(`Duplicate value: ${shown(value)}`, detail));
  }

  notFound(value: unknown, detail = ''): void {
    this.#add('FieldValueNotFound', withDetail(`Not found: ${shown(value)}`, detail));
  }

  /** The supported values are listed in the order given; upstream sorts most of them. */
  notSupported(value: unknown, supported: readonly string[]): void {
    const listed = supported.map(each => JSON.stringify(each)).join(', ');
    const detail = supported.length > 0 ? `supported values: ${listed}` : '';
    this.#add('FieldValueNotSupported', withDetail(`Unsupported value: ${shown(value)}`, detail));
  }

  forbidden(detail: string): void {
    this.#add('FieldValueForbidden', withDetail('Forbidden', detail));
  }

  tooLong(lengthMax: number): void {
    const unit = lengthMax === 1 ? 'byte' : 'bytes';
    this.#add('FieldValueTooLong', withDetail('Too long', `may not be more than ${lengthMax} ${unit}`));
  }

  tooMany(actual: number, max: number): void {
    const unit = max === 1 ? 'item' : 'items';
    this.#add('FieldValueTooMany', withDetail(`Too many: ${actual}`, `must have at most ${max} ${unit}`));
  }

  typeInvalid(value: unknown, detail: string): void {
    this.#add('FieldValueTypeInvalid', withDetail(`Invalid value: ${shown(value)}`, detail));
  }

  internal(detail: string): void {
    this.#add('InternalError', withDetail('Internal error', detail));
  }

  #add(type: FieldErrorType, message: string): void {
    this.errors.push({ type, field: this.path === '' ? '<nil>' : this.path, message });
  }
}

function withDetail(what: string, detail: string): string {
  return detail === '' ? what : `${what}: ${detail}`;
}

/** Values as Go prints them in messages: strings quoted, objects as JSON, null for absent. */
function shown(value: unknown): string {
  if (value === undefined || value === null) return 'null';
  if (typeof value === 'bigint') return value.toString();
  const text = encodeJson(value);
  return typeof value === 'object' ? text.replaceAll(/[<>&\u2028\u2029]/g, escaped) : text;
}

/** Go's JSON can stand in a page. */
function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
