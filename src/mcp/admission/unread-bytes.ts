import { PriorityQueue } from '../../collections/priority-queue.js'

interface OfPerson<R> {
  readonly responses: Map<R, number>
  unread: number
}

/** The bytes that clients have not read, of all responses with such, by person. Each step takes logarithmic time. */
export class UnreadBytes<R extends { readonly person: string }> {
  readonly #persons = new Map<string, OfPerson<R>>()
  /** The person with the most first. */
  readonly #ranking = new PriorityQueue<string>()
  #total = 0

  /** Of all together. */
  get total (): number {
    return this.#total
  }

  /** The person with the most. */
  get heaviest (): string | undefined {
    return this.#ranking.first?.key
  }

  /** Of one person. */
  of (person: string): number {
    return this.#persons.get(person)?.unread ?? 0
  }

  /** A person's responses that have any. */
  responses (person: string): Iterable<R> {
    return this.#persons.get(person)?.responses.keys() ?? []
  }

  /** The persons who have more than so many. */
  personsAbove (bytes: number): string[] {
    return this.#ranking.keysUpTo(-bytes - 1)
  }

  /** Sets those of a response; of one that is over, 0. */
  set (response: R, unread: number): void {
    const { person } = response
    const before = this.#persons.get(person)
    if (before === undefined && unread === 0) return
    const ofPerson: OfPerson<R> = before ?? { responses: new Map(), unread: 0 }
    const change = unread - (ofPerson.responses.get(response) ?? 0)
    if (unread > 0) ofPerson.responses.set(response, unread)
    else ofPerson.responses.delete(response)
    this.#total += change
    ofPerson.unread += change
    if (ofPerson.responses.size > 0) {
      this.#persons.set(person, ofPerson)
      this.#ranking.set(person, -ofPerson.unread)
    } else {
      this.#persons.delete(person)
      this.#ranking.delete(person)
    }
  }
}
