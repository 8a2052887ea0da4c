import type { ValidatingAdmissionPolicyBinding } from '#api/admissionregistration/v1/validating-admission-policy-binding.ts';
import type { ValidatingAdmissionPolicy } from '#api/admissionregistration/v1/validating-admission-policy.ts';
import { Namespace } from '#api/core/v1/namespace.ts';
import { ApiError, errors, type StatusReason } from '#api/machinery/errors.ts';
import type { ApiObject } from '#api/machinery/kind.ts';
import {
  Activation,
  Budget,
  Decisions,
  OutOfBudget,
  type Outcome,
  paramsWithType,
  type Subject,
} from '../activation.ts';
import type { AdmissionRequest } from '../admission.ts';
import { evaluateConditions } from '../match-conditions.ts';
import { forbidden, isOf } from '../request.ts';
import type { Sources } from '../sources.ts';
import { compiledValidating, type CompiledValidatingPolicy, type CompiledValidation } from './compiled.ts';
import type { Hook } from './hooks.ts';
import { type Matched, matchOf, namespaceOf } from './matching.ts';
import { errorTypeOf, type PolicyMetrics } from './metrics.ts';
import { paramKindOf, paramsOf } from './params.ts';
import type { PolicyContext } from './plugins.ts';

type PolicyHook = Hook<ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding>;

/** What all policies that may have to do with a request say of it. Throws when somebody denies it. */
export async function judge(
  hooks: readonly PolicyHook[],
  request: AdmissionRequest,
  { sources, authorizer, metrics }: PolicyContext,
): Promise<void> {
  const judgement = new Judgement(sources, request, new Decisions(authorizer, request), metrics);
  for (const hook of hooks) await judgement.ask(hook);
  judgement.end();
}

interface Denial {
  readonly policy: string;
  readonly binding: string | undefined;
  readonly message: string;
  readonly reason: string | undefined;
}

/** What one expression, or the failure to ask it, means for the request. */
interface Verdict {
  readonly allowed: boolean;
  readonly message: string;
  readonly reason?: string | undefined;
  /** It could not be asked. */
  readonly failed: boolean;
  readonly seconds: number;
}

const validationFailuresMax = 50;
const annotationBytesMax = 10 * 1024;
const messageBytesMax = 5 * 1024;

/** All policies about one request: who denies it, and what is said of it. */
class Judgement {
  readonly #sources: Sources;
  readonly #request: AdmissionRequest;
  readonly #decisions: Decisions;
  readonly #metrics: PolicyMetrics | undefined;
  readonly #denials: Denial[] = [];
  readonly #failures: object[] = [];

  constructor(sources: Sources, request: AdmissionRequest, decisions: Decisions, metrics: PolicyMetrics | undefined) {
    this.#sources = sources;
    this.#request = request;
    this.#decisions = decisions;
    this.#metrics = metrics;
  }

  async ask({ policy, bindings }: PolicyHook): Promise<void> {
    const { matchConstraints, paramKind } = policy.spec;
    const request = this.#request;
    if (!matchConstraints)
      return this.#misconfigured(policy, undefined, 'policy contained no match constraints, a required field');
    const matched = await matchOf(matchConstraints, request, this.#sources);
    if (!matched) return;
    let kind;
    try {
      kind = paramKind && paramKindOf(paramKind, request);
    } catch (error) {
      return this.#misconfigured(policy, undefined, (error as Error).message);
    }
    const annotations = new Annotations();
    for (const binding of bindings) {
      const { matchResources, paramRef } = binding.spec;
      if (matchResources && !(await matchOf(matchResources, request, this.#sources))) continue;
      let params: readonly (ApiObject | undefined)[];
      try {
        params = await paramsOf(kind, paramRef, request, this.#sources);
      } catch (error) {
        this.#misconfigured(policy, binding, (error as Error).message);
        continue;
      }
      const namespace = await this.#namespace();
      for (const each of params) {
        const subject = await subjectOf(request, matched, namespace, this.#decisions);
        const typed = each && kind ? paramsWithType(each, kind) : each;
        await this.#judge(policy, binding, { ...subject, params: typed }, annotations);
      }
    }
    annotations.publish(policy.metadata.name ?? '', request);
  }

  /** Throws when somebody denies the request. */
  end(): void {
    if (this.#failures.length > 0)
      this.#request.annotate(
        'validation.policy.admission.k8s.io/validation_failure',
        JSON.stringify(this.#failures.slice(0, validationFailuresMax)),
      );
    const [first] = this.#denials;
    if (!first) return;
    const { policy, binding, message, reason = 'Invalid' } = first;
    const by = binding === undefined ? '' : ` with binding '${binding}'`;
    const text = `ValidatingAdmissionPolicy '${policy}'${by} denied request: ${message}`;
    const { status } = forbidden(this.#request, text, [{ message: text } as never]);
    throw new ApiError({ ...status, reason: reason as StatusReason, code: codes[reason] ?? 422 });
  }

  async #namespace(): Promise<Namespace | undefined> {
    const request = this.#request;
    const namespace = await namespaceOf(request, this.#sources);
    if (!namespace && request.namespace !== '' && !isOf(request, Namespace))
      throw errors.notFound(Namespace, request.namespace);
    return namespace;
  }

  async #judge(
    policy: ValidatingAdmissionPolicy,
    binding: ValidatingAdmissionPolicyBinding,
    subject: Subject,
    annotations: Annotations,
  ): Promise<void> {
    const compiled = compiledValidating(policy);
    const ignores = policy.spec.failurePolicy === 'Ignore';
    const failed = (message: string, seconds = 0): Verdict => ({ allowed: ignores, message, failed: true, seconds });
    const conditions = await evaluateConditions(compiled.conditions, subject, compiled.variables);
    // A condition that cannot be asked: the policy is passed over, or the request is refused.
    if (conditions.error !== undefined) {
      if (!ignores) this.#decide(policy, binding, 0, failed(conditions.error));
      return;
    }
    if (!conditions.matches) return;
    const verdicts = await this.#validations(compiled, subject, failed);
    for (const [index, verdict] of verdicts.entries()) this.#decide(policy, binding, index, verdict);
    await this.#annotations(policy, binding, compiled, subject, annotations);
  }

  async #validations(
    compiled: CompiledValidatingPolicy,
    subject: Subject,
    failed: (message: string, seconds?: number) => Verdict,
  ): Promise<readonly Verdict[]> {
    const { clock } = this.#sources;
    const budget = new Budget();
    const activation = new Activation(subject, compiled.variables);
    const outcomes: { readonly validation: CompiledValidation; readonly outcome: Outcome; readonly seconds: number }[] =
      [];
    try {
      for (const validation of compiled.validations) {
        const startedMs = clock.monotonic();
        const outcome = await activation.evaluate(validation.expression, budget);
        outcomes.push({ validation, outcome, seconds: (clock.monotonic() - startedMs) / 1000 });
      }
    } catch (error) {
      if (error instanceof OutOfBudget) return [failed(error.message)];
      throw error;
    }
    const verdicts: Verdict[] = [];
    const messages = new Activation(subject, compiled.variables);
    for (const { validation, outcome, seconds } of outcomes) {
      if (outcome.error !== undefined) verdicts.push(failed(outcome.error, seconds));
      else if (outcome.value === true) verdicts.push({ allowed: true, message: '', failed: false, seconds });
      else {
        try {
          const message = await messageOf(validation, messages, budget);
          verdicts.push({ allowed: false, message, reason: validation.reason, failed: false, seconds });
        } catch (error) {
          if (!(error instanceof OutOfBudget)) throw error;
          verdicts.push(failed(`failed messageExpression: ${error.message}`, seconds));
        }
      }
    }
    return verdicts;
  }

  #decide(
    { metadata }: ValidatingAdmissionPolicy,
    binding: ValidatingAdmissionPolicyBinding,
    index: number,
    { allowed, message, reason, failed, seconds }: Verdict,
  ): void {
    const name = metadata.name ?? '';
    const bindingName = binding.metadata.name ?? '';
    const errorType = failed ? errorTypeOf(message) : 'no_error';
    const actions = binding.spec.validationActions ?? [];
    if (allowed) {
      if (failed) this.#metrics?.validating(name, bindingName, errorType, 'allow', seconds);
      return;
    }
    for (const action of actions) {
      if (action === 'Deny') {
        this.#denials.push({ policy: name, binding: bindingName, message, reason });
        this.#metrics?.validating(name, bindingName, errorType, 'deny', seconds);
      } else if (action === 'Audit') {
        this.#failures.push({
          message,
          policy: name,
          binding: bindingName,
          expressionIndex: index,
          validationActions: actions,
        });
        this.#metrics?.validating(name, bindingName, errorType, 'audit', seconds);
      } else if (action === 'Warn') {
        const about = `ValidatingAdmissionPolicy '${name}' with binding '${bindingName}'`;
        this.#request.warn(`Validation failed for ${about}: ${message}`);
        this.#metrics?.validating(name, bindingName, errorType, 'warn', seconds);
      }
    }
  }

  async #annotations(
    policy: ValidatingAdmissionPolicy,
    binding: ValidatingAdmissionPolicyBinding,
    { annotations, variables }: CompiledValidatingPolicy,
    subject: Subject,
    collected: Annotations,
  ): Promise<void> {
    if (annotations.length === 0) return;
    const ignores = policy.spec.failurePolicy === 'Ignore';
    const refuse = (message: string) => {
      const [name, bindingName] = [policy.metadata.name ?? '', binding.metadata.name ?? ''];
      this.#denials.push({ policy: name, binding: bindingName, message, reason: undefined });
      this.#metrics?.validating(name, bindingName, errorTypeOf(message), 'deny', 0);
    };
    const activation = new Activation(subject, variables);
    const budget = new Budget();
    try {
      for (const { key, value } of annotations) {
        const outcome = await activation.evaluate(value, budget);
        if (outcome.error !== undefined) {
          if (!ignores) refuse(outcome.error);
        } else if (typeof outcome.value === 'string') {
          const text = outcome.value.trim();
          if (text !== '') collected.add(key, Buffer.from(text).subarray(0, annotationBytesMax).toString());
        } else if (outcome.value !== null) {
          const why = 'Return type must be either string or null.';
          refuse(`valueExpression '${value.text}' resulted in unsupported return type. ${why}`);
        }
      }
    } catch (error) {
      if (!(error instanceof OutOfBudget)) throw error;
      if (!ignores) refuse(error.message);
    }
  }

  #misconfigured(
    { metadata, spec }: ValidatingAdmissionPolicy,
    binding: ValidatingAdmissionPolicyBinding | undefined,
    why: string,
  ): void {
    if (spec.failurePolicy === 'Ignore') return;
    const message = `failed to configure ${binding ? 'binding' : 'policy'}: ${why}`;
    this.#denials.push({
      policy: metadata.name ?? '',
      binding: binding?.metadata.name,
      message,
      reason: undefined,
    });
  }
}

const codes: Readonly<Record<string, number>> = {
  Forbidden: 403,
  Unauthorized: 401,
  RequestEntityTooLarge: 413,
  Invalid: 422,
};

/** What the policy says of a failure: its expression's text, its own, or the rule itself. */
async function messageOf(
  { expression, message, messageExpression }: CompiledValidation,
  activation: Activation,
  budget: Budget,
): Promise<string> {
  if (messageExpression) {
    const { value } = await activation.evaluate(messageExpression, budget);
    const text = typeof value === 'string' ? value.trim() : '';
    if (text !== '' && Buffer.byteLength(text) <= messageBytesMax && !text.includes('\n')) return text;
  }
  return message.trim() || `failed expression: ${expression.text.trim()}`;
}

/** Values of one key by different bindings stand beside each other. */
class Annotations {
  readonly #values = new Map<string, string[]>();

  add(key: string, value: string): void {
    const values = this.#values.get(key) ?? [];
    if (!values.includes(value)) values.push(value);
    this.#values.set(key, values);
  }

  publish(policy: string, request: AdmissionRequest): void {
    for (const [key, values] of this.#values) request.annotate(`${policy}/${key}`, values.join(', '));
  }
}

/** The request as a policy sees it that asked for a version. */
export async function subjectOf(
  request: AdmissionRequest,
  { kind, equivalent }: Matched,
  namespace: Namespace | undefined,
  decisions: Decisions,
): Promise<Omit<Subject, 'params'>> {
  const convert = async (object: ApiObject | undefined) => (object && equivalent ? equivalent.convert(object) : object);
  return {
    request,
    kind,
    object: await convert(request.object as ApiObject | undefined),
    old: await convert(request.old),
    namespace,
    decisions,
  };
}
