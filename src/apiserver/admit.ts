import type { AdmissionPlugin, AdmissionRequest, Operation, Reinvocation } from '#admission/admission.ts';
import { wrongOwners } from '#api/machinery/apply/managed-fields.ts';
import type { ApiObject, Draft, Kind } from '#api/machinery/kind.ts';
import { isTracing, tracedIfWaiting } from '#base/trace.ts';
import type { Call } from './call.ts';

/** The admission of one write: first everything that changes it, later everything that judges it. */
export class Admission {
  readonly #plugins: readonly AdmissionPlugin[];
  readonly #request: AdmissionRequest;
  readonly #looks = new Looks();

  constructor(call: Call, kind: Kind, about: AdmissionSubject) {
    this.#request = {
      kind,
      subresource: '',
      user: call.user,
      served: call.foundation.served,
      get signal() {
        return call.request.signal;
      },
      warn: message => call.warn(message),
      annotate: (key, value, level) => call.annotate(key, value, level),
      reinvocation: this.#looks,
      ...about,
    };
    this.#plugins = call.foundation.admission.filter(plugin => plugin.handles(this.#request));
  }

  /** Undefined where nothing has to be waited for; so it is with `validate`. */
  admit(): Promise<void> | undefined {
    const { object } = this.#request;
    const owners = object?.metadata.managedFields;
    const keepOwners = () => {
      if (object && object.metadata.managedFields !== owners) this.#keepOwners(object, owners);
    };
    const pending = this.#mutate();
    if (pending) return pending.then(keepOwners);
    keepOwners();
    return undefined;
  }

  validate(): Promise<void> | undefined {
    return this.#run('validate', 0);
  }

  /** What plugins and webhooks leave of the owners of fields must be readable. */
  #keepOwners({ metadata }: Draft<ApiObject>, before: Draft<ApiObject>['metadata']['managedFields']): void {
    const wrong = wrongOwners(metadata.managedFields ?? []);
    if (wrong === undefined) return;
    metadata.managedFields = before;
    this.#request.warn(
      `.metadata.managedFields was in an invalid state after admission; this could be caused by an outdated mutating admission controller; please fix your requests: ${wrong}`,
    );
  }

  #mutate(): Promise<void> | undefined {
    const pending = this.#run('admit', 0);
    return pending ? pending.then(() => this.#lookAgain()) : this.#lookAgain();
  }

  #lookAgain(): Promise<void> | undefined {
    if (!this.#looks.isAsked) return undefined;
    this.#looks.isSecond = true;
    return this.#run('admit', 0);
  }

  /** Most plugins have nothing to wait for. */
  #run(step: 'admit' | 'validate', from: number): Promise<void> | undefined {
    const traces = isTracing();
    for (let at = from; at < this.#plugins.length; at++) {
      const plugin = this.#plugins[at] as AdmissionPlugin;
      if (!plugin[step]) continue;
      const pending = traces
        ? tracedIfWaiting(plugin.name, () => plugin[step]?.(this.#request) ?? undefined)
        : plugin[step](this.#request);
      if (pending) return pending.then(() => this.#run(step, at + 1));
    }
    return undefined;
  }
}

class Looks implements Reinvocation {
  isSecond = false;
  isAsked = false;

  ask(): void {
    this.isAsked = true;
  }
}

export interface AdmissionSubject {
  readonly operation: Operation;
  readonly subresource?: string;
  readonly namespace: string;
  readonly name: string;
  readonly object: Draft<ApiObject> | undefined;
  readonly old: ApiObject | undefined;
  readonly options: Readonly<Record<string, unknown>>;
  readonly dryRun: boolean;
}
