/** Paths of a route table in a radix tree: one walk along the request's path finds every rule whose literal path may match. Nothing is allocated. */

/** What hangs at the end of a literal: by what must follow there. */
export interface PathNode<T> {
  /** The path ends here. */
  exact: T | undefined;
  /** The path ends or goes on with `/`. */
  segments: T | undefined;
  /** Whatever follows. */
  prefix: T | undefined;
}

class Node<T> implements PathNode<T> {
  label: string;
  exact: T | undefined = undefined;
  segments: T | undefined = undefined;
  prefix: T | undefined = undefined;
  /** By first character of the label, ascending. */
  children: Node<T>[] | undefined = undefined;

  constructor(label: string) {
    this.label = label;
  }
}

const SLASH = 0x2f;
const lower = (code: number): number => (code >= 0x41 && code <= 0x5a ? code + 0x20 : code);

/** Index of the first child whose label begins with `code` or more. */
const childAt = <T>(children: readonly Node<T>[], code: number): number => {
  let low = 0;
  let high = children.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (children[middle]!.label.charCodeAt(0) < code) low = middle + 1;
    else high = middle;
  }
  return low;
};

const commonLength = (a: string, b: string): number => {
  let length = 0;
  while (length < a.length && length < b.length && a.charCodeAt(length) === b.charCodeAt(length)) length++;
  return length;
};

export class PathTrie<T> {
  readonly #root = new Node<T>('');
  readonly #ignoresCase: boolean;

  /** With `ignoresCase` literals must be given in lower case (ASCII). */
  constructor(ignoresCase: boolean) {
    this.#ignoresCase = ignoresCase;
  }

  /** The node for this literal, made where it is missing. */
  at(literal: string): PathNode<T> {
    let node = this.#root;
    let rest = literal;
    while (rest !== '') {
      node.children ??= [];
      const index = childAt(node.children, rest.charCodeAt(0));
      const child = node.children[index];
      if (child === undefined || child.label.charCodeAt(0) !== rest.charCodeAt(0)) {
        const leaf = new Node<T>(rest);
        node.children.splice(index, 0, leaf);
        return leaf;
      }
      const shared = commonLength(child.label, rest);
      if (shared === child.label.length) node = child;
      else {
        const upper = new Node<T>(rest.slice(0, shared));
        child.label = child.label.slice(shared);
        upper.children = [child];
        node.children[index] = upper;
        node = upper;
      }
      rest = rest.slice(shared);
    }
    return node;
  }

  /** Calls `visitor.visit` with whatever matches `path` up to `end`, from the shortest literal to the longest. */
  walk(path: string, end: number, visitor: { visit(value: T): void }): void {
    let node = this.#root;
    let at = 0;
    for (;;) {
      if (node.prefix !== undefined) visitor.visit(node.prefix);
      if (node.segments !== undefined && (at === end || path.charCodeAt(at) === SLASH)) visitor.visit(node.segments);
      if (at === end) {
        if (node.exact !== undefined) visitor.visit(node.exact);
        return;
      }
      const children = node.children;
      if (children === undefined) return;
      const code = this.#ignoresCase ? lower(path.charCodeAt(at)) : path.charCodeAt(at);
      const child = children[childAt(children, code)];
      if (child === undefined) return;
      const label = child.label;
      if (label.length > end - at) return;
      for (let i = 0; i < label.length; i++) {
        const here = path.charCodeAt(at + i);
        if (label.charCodeAt(i) !== (this.#ignoresCase ? lower(here) : here)) return;
      }
      at += label.length;
      node = child;
    }
  }

  /** Every value, for finishing what was collected. */
  forEach(action: (value: T) => void): void {
    const stack = [this.#root];
    for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
      if (node.exact !== undefined) action(node.exact);
      if (node.segments !== undefined) action(node.segments);
      if (node.prefix !== undefined) action(node.prefix);
      if (node.children !== undefined) stack.push(...node.children);
    }
  }
}
