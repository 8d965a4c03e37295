import type { Child } from '../../ipc/services/host.js';

/** The kubelet's process as this worker sees it: what the node's object says counts only from its start on. */
export class KubeletView {
  #startedAtMs: number | undefined;
  #onChange: () => void = () => undefined;

  /** Wall clock of the running kubelet's start, in milliseconds; undefined while none runs. */
  get startedAtMs(): number | undefined {
    return this.#startedAtMs;
  }

  /** Takes in the table of children until its stream ends, and throws what it throws. */
  async follow(table: AsyncIterable<{ readonly children: readonly Child[] }>): Promise<void> {
    for await (const { children } of table) {
      const kubelet = children.find(({ name }) => name === 'kube.kubelet');
      if (kubelet === undefined) continue;
      this.#startedAtMs = kubelet.exit === null ? kubelet.startedAtMs : undefined;
      this.#onChange();
    }
  }

  /** Called with each start and end from now on; there is one listener at a time. */
  set onChange(listener: () => void) {
    this.#onChange = listener;
  }
}
