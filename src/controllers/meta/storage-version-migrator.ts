import { CustomResourceDefinition } from '#api/apiextensions/v1/custom-resource-definition.ts';
import { ApiError, isReason } from '#api/machinery/errors.ts';
import { apiVersionOf, type ApiObject, type Kind } from '#api/machinery/kind.ts';
import { formatTime, timeMs } from '#api/machinery/time.ts';
import type { Condition } from '#api/meta/v1/condition.ts';
import { StorageVersionMigration } from '#api/storagemigration/v1beta1/storage-version-migration.ts';
import { discover } from '#client/discovery.ts';
import type { Informer } from '#client/informer.ts';
import { WorkQueue } from '#client/workqueue.ts';
import { allSynced, type Controller, type ControllerEnvironment } from '../controller.ts';

const name = 'storage-version-migrator-controller';
/** Who writes about migrations into a definition. */
const runner = 'migration-runner-controller';
const workers = 5;
const pageSize = 500;
/** Writes to the objects of one resource that are under way at the same time. */
const writesAtOnce = 8;
/** How long a resource may take to be there. */
const graceMs = 60_000;

/** Stores all objects of a resource anew, in the version that is the stored one now; one migration a resource at a time. */
export const storageVersionMigrator: Controller = {
  name,
  optional: StorageVersionMigration,
  start: environment => new StorageVersionMigrator(environment),
};

class StorageVersionMigrator implements AsyncDisposable {
  readonly #environment: ControllerEnvironment;
  readonly #migrations: Informer<StorageVersionMigration>;
  readonly #queue: WorkQueue<string>;
  /** Migrations that are over, by uid, while the informer may not say so yet. */
  readonly #over = new Set<string>();
  readonly #stop = new AbortController();
  readonly #unsubscribe: () => void;
  readonly #working: Promise<unknown>;

  constructor(environment: ControllerEnvironment) {
    const { informers, clock, observe } = environment;
    this.#environment = { ...environment, log: environment.log.child(name) };
    const observer = observe?.(name);
    this.#queue = new WorkQueue({ clock, ...(observer && { observer }) });
    this.#migrations = informers.of(StorageVersionMigration);
    const changed = (migration: StorageVersionMigration) => this.#queue.add(resourceOf(migration));
    this.#unsubscribe = this.#migrations.subscribe({
      added: changed,
      updated: changed,
      deleted: migration => {
        this.#over.delete(migration.metadata.uid ?? '');
        changed(migration);
      },
    });
    this.#working = allSynced([this.#migrations as unknown as Informer<ApiObject>], this.#stop.signal).then(ready =>
      ready ? Promise.all(Array.from({ length: workers }, () => this.#work())) : undefined,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#unsubscribe();
    this.#stop.abort(new Error('the storage version migrator was stopped'));
    this.#queue[Symbol.dispose]();
    await this.#working;
  }

  async #work(): Promise<void> {
    for (let key = await this.#queue.take(); key !== undefined; key = await this.#queue.take()) {
      try {
        await this.#reconcile(key);
        this.#queue.forget(key);
      } catch (error) {
        if (this.#stop.signal.aborted) return;
        this.#environment.log.warn('cannot migrate; trying again', { resource: key, error });
        this.#queue.retry(key);
      } finally {
        this.#queue.done(key);
      }
    }
  }

  /** All migrations of one resource: what is over is tidied up, the oldest of the others runs. */
  async #reconcile(resource: string): Promise<void> {
    const waiting: StorageVersionMigration[] = [];
    for (const migration of this.#migrations.objects.values()) {
      if (resourceOf(migration) !== resource) continue;
      if (!isOver(migration) && !this.#over.has(migration.metadata.uid ?? '')) waiting.push(migration);
      else if (isOver(migration) && conditionOf(migration, 'MigrationRunning')) await this.#tidy(migration);
    }
    const next = waiting.find(isRunning) ?? waiting.toSorted(byAge)[0];
    if (next) await this.#run(isRunning(next) ? next : await this.#begin(next));
  }

  async #begin(migration: StorageVersionMigration): Promise<StorageVersionMigration> {
    await this.#sayInDefinition(migration, ({ metadata: { generation } }) => ({
      conditions: [
        this.#migrating('True', 'MigrationRunning', `Migration ${migration.metadata.name} is running`, generation),
      ],
    }));
    return this.#report(migration, 'MigrationRunning', 'MigrationRunning', 'The migration is running');
  }

  /** In two steps, so that a definition hears of the end even when this process dies in between. */
  async #tidy(migration: StorageVersionMigration): Promise<void> {
    const succeeded = isTrue(migration, 'MigrationSucceeded');
    await this.#sayInDefinition(migration, ({ metadata: { generation }, spec, status }) => {
      const before = status.conditions?.find(({ type }) => type === 'StorageMigrating');
      const isSame = before !== undefined && String(before.observedGeneration) === String(generation);
      const how = isSame
        ? 'and the stored versions have been updated'
        : 'but the stored versions have not been updated due to a generation mismatch';
      return {
        conditions: [
          succeeded
            ? this.#migrating('False', 'MigrationSucceeded', `The migration has succeeded ${how}`, generation)
            : this.#migrating('False', 'MigrationFailed', 'The migration has failed', generation),
        ],
        ...(succeeded &&
          isSame && { storedVersions: spec.versions.filter(each => each.storage).map(each => each.name) }),
      };
    });
    const conditions = (migration.status.conditions ?? []).filter(({ type }) => type !== 'MigrationRunning');
    await this.#update(migration, { conditions });
  }

  async #run(migration: StorageVersionMigration): Promise<void> {
    const { client } = this.#environment;
    const { signal } = this.#stop;
    const { group = '', resource } = migration.spec.resource;
    const { kinds } = await discover(client, signal);
    const kind = kinds.find(each => each.group === group && each.plural === resource);
    if (!kind?.verbs.includes('list') || !kind.verbs.includes('patch')) {
      const madeMs = timeMs(migration.metadata.creationTimestamp ?? '');
      if (this.#environment.clock.now() - madeMs < graceMs)
        throw new Error(`cannot find ${resourceOf(migration)}: it is not served`);
      await this.#fail(migration, 'resource does not exist in discovery');
      return;
    }
    let current = migration;
    if ((current.status.resourceVersion ?? '') === '') {
      const { metadata } = await client.list(kind, { limit: 1, signal });
      current = await this.#update(current, { resourceVersion: metadata.resourceVersion });
    }
    const problem = await this.#store(kind, BigInt(current.status.resourceVersion ?? '0'));
    if (problem) await this.#fail(current, `migration encountered unhandled error: ${problem.message}`);
    else await this.#report(current, 'MigrationSucceeded', 'StorageVersionMigrationSucceeded', '');
  }

  /** Every object is written as it is. Answers with what no other try would mend. */
  async #store(kind: Kind, upTo: bigint): Promise<Error | undefined> {
    const { client } = this.#environment;
    const { signal } = this.#stop;
    let page = '';
    do {
      const { items, metadata } = await client.list(kind, {
        limit: pageSize,
        ...(page !== '' && { continue: page }),
        signal,
      });
      // What was written since is in the new form already.
      const older = items.filter(({ metadata: { resourceVersion = '0' } }) => BigInt(resourceVersion) <= upTo);
      for (let at = 0; at < older.length; at += writesAtOnce) {
        const problems = await Promise.all(older.slice(at, at + writesAtOnce).map(each => this.#touch(kind, each)));
        const [problem] = problems.filter(each => each !== undefined);
        if (problem) return problem;
      }
      page = metadata.continue ?? '';
    } while (page !== '');
    return undefined;
  }

  async #touch(kind: Kind, { metadata }: ApiObject): Promise<Error | undefined> {
    const { name: of = '', namespace, uid, resourceVersion } = metadata;
    // Both, so that what was deleted, or made again, is a conflict and is not made anew.
    const object = { apiVersion: apiVersionOf(kind), kind: kind.kind, metadata: { uid, resourceVersion } };
    const place = namespace === undefined ? {} : { namespace };
    const { signal } = this.#stop;
    try {
      await this.#environment.client.patch(
        kind,
        of,
        { type: 'apply', object },
        { ...place, fieldManager: name, signal },
      );
    } catch (error) {
      // It was changed, and so stored anew, or it is gone.
      if (isReason(error, 'Conflict')) return undefined;
      if (!(error instanceof ApiError) || passing.some(reason => isReason(error, reason))) throw error;
      return error;
    }
    return undefined;
  }

  #fail(migration: StorageVersionMigration, message: string): Promise<StorageVersionMigration> {
    return this.#report(migration, 'MigrationFailed', 'StorageVersionMigrationFailed', message);
  }

  async #report(
    migration: StorageVersionMigration,
    type: string,
    reason: string,
    message: string,
  ): Promise<StorageVersionMigration> {
    const isEnd = type !== 'MigrationRunning';
    const before = (migration.status.conditions ?? [])
      .filter(each => each.type !== type)
      .map(each => (isEnd && each.type === 'MigrationRunning' ? { ...each, status: 'False' } : each));
    const condition = { type, status: 'True', lastTransitionTime: this.#now(), reason, message };
    const next = await this.#update(migration, { conditions: [...before, condition] });
    if (isEnd) this.#over.add(migration.metadata.uid ?? '');
    return next;
  }

  #update(
    migration: StorageVersionMigration,
    status: Partial<StorageVersionMigration['status']>,
  ): Promise<StorageVersionMigration> {
    const next = { ...migration, status: { ...migration.status, ...status } };
    return this.#environment.client.update(StorageVersionMigration, next, {
      subresource: 'status',
      signal: this.#stop.signal,
    });
  }

  #migrating(status: string, reason: string, message: string, observedGeneration: unknown) {
    return { type: 'StorageMigrating', status, lastTransitionTime: this.#now(), reason, message, observedGeneration };
  }

  /** Where the resource is one of a definition. */
  async #sayInDefinition(
    { spec: { resource } }: StorageVersionMigration,
    statusFor: (definition: CustomResourceDefinition) => object,
  ): Promise<void> {
    const { client } = this.#environment;
    const { signal } = this.#stop;
    const of = `${resource.resource}.${resource.group ?? ''}`;
    let definition: CustomResourceDefinition;
    try {
      definition = await client.get(CustomResourceDefinition, of, { signal });
    } catch (error) {
      if (isReason(error, 'NotFound')) return;
      throw error;
    }
    const object = {
      apiVersion: apiVersionOf(CustomResourceDefinition),
      kind: CustomResourceDefinition.kind,
      metadata: { name: of },
      status: statusFor(definition),
    };
    const options = { subresource: 'status', fieldManager: runner, force: true, signal };
    await client.patch(CustomResourceDefinition, of, { type: 'apply', object }, options);
  }

  #now(): string {
    return formatTime(this.#environment.clock.now());
  }
}

/** What passes by itself. */
const passing = ['ServerTimeout', 'TooManyRequests', 'ServiceUnavailable', 'InternalError', 'Timeout'] as const;

function resourceOf({ spec }: StorageVersionMigration): string {
  return `${spec.resource.resource}.${spec.resource.group ?? ''}`;
}

function conditionOf({ status }: StorageVersionMigration, type: string): Condition | undefined {
  return status.conditions?.find(each => each.type === type);
}

function isTrue(migration: StorageVersionMigration, type: string): boolean {
  return conditionOf(migration, type)?.status === 'True';
}

function isRunning(migration: StorageVersionMigration): boolean {
  return isTrue(migration, 'MigrationRunning');
}

function isOver(migration: StorageVersionMigration): boolean {
  return isTrue(migration, 'MigrationSucceeded') || isTrue(migration, 'MigrationFailed');
}

function byAge({ metadata: one }: StorageVersionMigration, { metadata: other }: StorageVersionMigration): number {
  const [made, otherMade] = [one.creationTimestamp ?? '', other.creationTimestamp ?? ''];
  if (made !== otherMade) return made < otherMade ? -1 : 1;
  return (one.name ?? '') < (other.name ?? '') ? -1 : 1;
}
