import type { Logger } from 'pino';
import { HamletError } from '../../lib/errors.js';
import { parseKubernetesVersion } from '../../platform/components.js';
import { features, type Features } from '../../platform/kubernetes-versions.js';
import type { ApiClient } from './client.js';
import { builtinsReady, nodeReady } from './conditions.js';
import { inform, type Follower, type Source } from './informer.js';
import { Keeper } from './keeper.js';
import type { KubeletView } from './kubelet-view.js';
import type { KubernetesObject } from './object.js';
import { builtinKinds } from './objects/index.js';
import type { ConditionPublisher } from './publisher.js';

export interface SessionOptions {
  readonly api: ApiClient;
  readonly nodeName: string;
  readonly kubelet: KubeletView;
  readonly conditions: ConditionPublisher;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/**
 * Everything that is done while the API server is ready: the built-in objects are kept, and the two conditions follow
 * what the cluster says. Runs until its signal is aborted. Throws UNAUTHENTICATED when the credentials are not taken
 * any more, FAILED_PRECONDITION for a release that is too old.
 */
export async function runSession(options: SessionOptions): Promise<void> {
  const { api, nodeName, kubelet, conditions, log } = options;
  const ending = new AbortController();
  const signal = AbortSignal.any([options.signal, ending.signal]);
  const release = await serverFeatures(api, signal);

  let serviceAccount: KubernetesObject | undefined;
  const report = (): void => {
    if (signal.aborted) return;
    conditions.set([builtinsReady({ missing: keeper.missing, serviceAccount, features: release })]);
  };
  const keeper = new Keeper({
    api,
    kinds: builtinKinds,
    features: release,
    log,
    signal,
    onProgress: () => report(),
  });
  const onServiceAccount = (object: KubernetesObject | undefined): void => {
    serviceAccount = object;
    report();
  };
  let node: KubernetesObject | undefined;
  const reportNode = (): void => {
    if (!signal.aborted) conditions.set([nodeReady(nodeName, node, kubelet.startedAtMs)]);
  };
  const onNode = (object: KubernetesObject | undefined): void => {
    node = object;
    reportNode();
  };
  kubelet.onChange = reportNode;

  const tasks = [
    keeper.run(),
    inform(api, one('/api/v1/namespaces/default/serviceaccounts', 'default'), only(onServiceAccount), {
      log,
      signal,
    }),
    inform(api, one('/api/v1/nodes', nodeName), only(onNode), { log, signal }),
  ];
  try {
    await Promise.all(tasks);
  } finally {
    ending.abort();
    await Promise.allSettled(tasks);
  }
}

async function serverFeatures(api: ApiClient, signal: AbortSignal): Promise<Features> {
  const { gitVersion } = await api.get<{ readonly gitVersion: string }>('/version', {}, signal);
  const version = parseKubernetesVersion(gitVersion);
  if (version === undefined) throw new HamletError('INTERNAL', `the API server calls itself ${gitVersion}`);
  return features(version);
}

/** One object by its name. */
function one(path: string, name: string): Source {
  return { path, selector: { fieldSelector: `metadata.name=${name}` } };
}

/** A follower of a source with at most one object. */
function only(on: (object: KubernetesObject | undefined) => void): Follower {
  return {
    onList: (objects) => on(objects[0]),
    onChange: (object) => on(object),
    onGone: () => on(undefined),
  };
}
