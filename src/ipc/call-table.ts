const FIRST_SIZE = 256;

/**
 * Open calls by their ids. A caller's ids count up, so their low bits are places in an array.
 * A Map would do, were it not for the garbage collector: the table that a Map leaves behind whenever it is
 * rehashed keeps the calls in it alive until the next full collection.
 */
export class CallTable<T extends { readonly id: number }> {
  #places = new Array<T | undefined>(FIRST_SIZE).fill(undefined);
  /** Calls whose place is taken; only a peer that does not count its ids up has any. */
  readonly #displaced = new Map<number, T>();
  #size = 0;
  #lastId = 0;

  get size(): number {
    return this.#size;
  }

  /** An id that is not in use: never 0, and as late as possible one that was in use before. */
  newId(): number {
    if (this.#size * 2 > this.#places.length) this.#grow();
    do {
      this.#lastId = this.#lastId === 0xffff_ffff ? 1 : this.#lastId + 1;
    } while (this.#places[this.#placeOf(this.#lastId)] !== undefined || this.#displaced.has(this.#lastId));
    return this.#lastId;
  }

  /** Puts in a call whose id is not in use. */
  add(call: T): void {
    if (this.#size * 2 > this.#places.length) this.#grow();
    this.#size += 1;
    this.#put(call);
  }

  get(id: number): T | undefined {
    const call = this.#places[this.#placeOf(id)];
    if (call?.id === id) return call;
    return this.#displaced.size === 0 ? undefined : this.#displaced.get(id);
  }

  /** Whether the call was there. */
  delete(call: T): boolean {
    if (this.get(call.id) !== call) return false;
    const place = this.#placeOf(call.id);
    if (this.#places[place] === call) this.#places[place] = undefined;
    else this.#displaced.delete(call.id);
    this.#size -= 1;
    return true;
  }

  /** The calls as they are now, whatever happens to the table meanwhile. */
  all(): T[] {
    return [...this.#places.filter((call) => call !== undefined), ...this.#displaced.values()];
  }

  #placeOf(id: number): number {
    return id & (this.#places.length - 1);
  }

  #put(call: T): void {
    const place = this.#placeOf(call.id);
    if (this.#places[place] === undefined) this.#places[place] = call;
    else this.#displaced.set(call.id, call);
  }

  #grow(): void {
    const calls = this.all();
    this.#places = new Array<T | undefined>(this.#places.length * 2).fill(undefined);
    this.#displaced.clear();
    for (const call of calls) this.#put(call);
  }
}
