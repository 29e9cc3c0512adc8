/** A binary min-heap. `push` and `pop` cost O(log n), `peek` nothing. */
export interface Heap<Item> {
  push(item: Item): void;
  peek(): Item | undefined;
  pop(): Item | undefined;
  size(): number;
}

/** `before(a, b)` says whether a comes out before b; a strict weak order. */
export function createHeap<Item>(before: (a: Item, b: Item) => boolean): Heap<Item> {
  const items: Item[] = [];

  function siftUp(start: number, item: Item): void {
    let index = start;
    while (index > 0) {
      const parentIndex = (index - 1) >> 1;
      const parent = items[parentIndex];
      if (parent === undefined || !before(item, parent)) break;
      items[index] = parent;
      index = parentIndex;
    }
    items[index] = item;
  }

  function siftDown(item: Item): void {
    let index = 0;
    for (;;) {
      let childIndex = 2 * index + 1;
      let child = items[childIndex];
      if (child === undefined) break;
      const right = items[childIndex + 1];
      if (right !== undefined && before(right, child)) {
        childIndex += 1;
        child = right;
      }
      if (!before(child, item)) break;
      items[index] = child;
      index = childIndex;
    }
    items[index] = item;
  }

  return {
    push: (item) => siftUp(items.length, item),
    peek: () => items[0],
    pop() {
      const top = items[0];
      const last = items.pop();
      if (last !== undefined && items.length > 0) siftDown(last);
      return top;
    },
    size: () => items.length,
  };
}
