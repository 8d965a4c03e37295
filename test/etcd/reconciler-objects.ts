import { isHamletError } from '../../src/lib/errors.js';
import { poll } from '../../src/lib/time.js';
import { content, firstDifference } from '../../src/workers/reconciler/decide.js';
import { pathOf, type KubernetesObject, type Metadata } from '../../src/workers/reconciler/object.js';
import { clusterRoleBindings } from '../../src/workers/reconciler/objects/cluster-role-binding.js';
import { builtinKinds } from '../../src/workers/reconciler/objects/index.js';
import type { TestCluster } from './reconciler-cluster.js';
import { TestReconciler } from './reconciler-worker.js';

/** Generous, because the tests share two cores with others. */
const timeoutMs = 30_000;
const everyMs = 10;
const soon = () => AbortSignal.timeout(timeoutMs);

/** A built-in object that every release has. */
export const bindingPath = pathOf(clusterRoleBindings, 'hamlet:apiserver-kubelet-client');

/** The cluster's objects as a person with the administrator's rights sees and changes them. */
export class Objects {
  readonly #cluster: TestCluster;
  /** How the built-in objects have to be, by their paths. */
  readonly desired: ReadonlyMap<string, KubernetesObject>;

  constructor(cluster: TestCluster) {
    this.#cluster = cluster;
    const { features } = cluster;
    this.desired = new Map(
      builtinKinds
        .filter((kind) => kind.served(features))
        .flatMap((kind) => kind.objects(features).map((o) => [pathOf(kind, o.metadata.name), o])),
    );
  }

  /** An object, or undefined when there is none. */
  async find(path: string): Promise<KubernetesObject | undefined> {
    try {
      return await this.#cluster.admin.get<KubernetesObject>(path, {}, soon());
    } catch (error) {
      if (isHamletError(error, 'NOT_FOUND')) return undefined;
      throw error;
    }
  }

  async get(path: string): Promise<KubernetesObject> {
    const object = await this.find(path);
    if (object === undefined) throw new Error(`${path} is not there`);
    return object;
  }

  create(collection: string, object: KubernetesObject): Promise<KubernetesObject> {
    return this.#cluster.admin.create(collection, object, soon());
  }

  replace(path: string, object: KubernetesObject): Promise<KubernetesObject> {
    return this.#cluster.admin.replace(path, object, soon());
  }

  remove(path: string): Promise<void> {
    return this.#cluster.admin.remove(path, undefined, soon());
  }

  /** Whether a built-in object is there and as it has to be. */
  isRight(path: string, object: KubernetesObject | undefined): object is KubernetesObject {
    const wanted = this.desired.get(path);
    if (wanted === undefined || object === undefined) return false;
    if (object.metadata.deletionTimestamp !== undefined) return false;
    return firstDifference(content(wanted), content(object)) === undefined;
  }

  /** Waits until a built-in object is as it has to be, and gives it. */
  untilRight(path: string): Promise<KubernetesObject> {
    return poll(
      async () => {
        const object = await this.find(path);
        return this.isRight(path, object) ? object : undefined;
      },
      { everyMs, timeoutMs, what: `${path} as it has to be` },
    );
  }

  async untilGone(path: string): Promise<void> {
    await poll(async () => ((await this.find(path)) === undefined ? true : undefined), {
      everyMs,
      timeoutMs,
      what: `${path} to be gone`,
    });
  }

  /** A reconciler that has done its first work. */
  async settledReconciler(): Promise<TestReconciler> {
    const reconciler = await TestReconciler.start(this.#cluster);
    reconciler.sayReady();
    await Promise.all([...this.desired.keys()].map((path) => this.untilRight(path)));
    return reconciler;
  }
}

export function withMetadata(object: KubernetesObject, metadata: Partial<Metadata>): KubernetesObject {
  return { ...object, metadata: { ...object.metadata, ...metadata } };
}

/** Makes the ServiceAccount that pods are created with, as kube-controller-manager would. */
export async function makeServiceAccount(objects: Objects): Promise<void> {
  const path = '/api/v1/namespaces/default/serviceaccounts';
  const account = await objects.create(path, {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: { name: 'default' },
  });
  await objects.replace(`${path}/default`, { ...account, secrets: [{ name: 'default-token' }] });
}
