import { EMPTY } from '../bytes.ts';

/** A header block that spans HEADERS and CONTINUATION frames. Bounded by the caller, who asks `total` and `frames` before adding. */
export class HeaderBlock {
  isOpen = false;
  streamId = 0;
  endStream = false;
  dependsOnItself = false;
  frames = 0;
  total = 0;
  private bytes: Uint8Array = EMPTY;

  open(streamId: number, endStream: boolean, dependsOnItself: boolean, fragment: Uint8Array): void {
    this.isOpen = true;
    this.streamId = streamId;
    this.endStream = endStream;
    this.dependsOnItself = dependsOnItself;
    this.frames = 1;
    this.total = 0;
    this.append(fragment);
  }

  append(fragment: Uint8Array): void {
    if (this.bytes.length < this.total + fragment.length) {
      const larger = new Uint8Array(Math.max(this.bytes.length * 2, this.total + fragment.length));
      larger.set(this.bytes.subarray(0, this.total));
      this.bytes = larger;
    }
    this.bytes.set(fragment, this.total);
    this.total += fragment.length;
  }

  /** The whole block; the memory is let go. */
  close(): Uint8Array {
    const block = this.bytes.subarray(0, this.total);
    this.isOpen = false;
    this.bytes = EMPTY;
    return block;
  }
}
