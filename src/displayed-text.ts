/** What is not seen, or steers how the rest is: control, format, direction, line and blank characters. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u2800]/gu

const MAX_NAME = 100
const MAX_LINE = 1000

/** A name as a page may show it: what is unseen would let it pretend to be something else, or nothing. */
export function visible (name: string): string {
  return [...name.replace(UNSEEN, '').trim()].slice(0, MAX_NAME).join('')
}

/** A text that others had a say in, as a line of the log may show it. */
export function oneLine (text: string): string {
  // what is longer is not looked at: one character is two units at most
  return [...text.slice(0, 2 * MAX_LINE).replace(UNSEEN, ' ').trim()].slice(0, MAX_LINE).join('')
}
