// The output of a run, which is followed while the run is under way; it is text, never markup.
const SECONDS = 1.5; // between questions
const MOST = 500_000; // characters that stay

export default {
  template: `
    <div class="run-output">
      <div class="run-tools">
        <label><input type="checkbox" v-model="follow"> Follow the end</label>
        <span class="hub-note" role="status">{{ notice }}</span>
      </div>
      <pre ref="text" tabindex="0" role="region" aria-label="Output of the run" v-show="length"></pre>
    </div>`,
  props: { run: String },
  data: () => ({ follow: true, notice: "", length: 0 }),
  watch: {
    follow() {
      this.scroll();
    },
  },
  mounted() {
    this.next = 0;
    this.seen = () => document.hidden || this.read();
    document.addEventListener("visibilitychange", this.seen);
    this.read();
  },
  beforeUnmount() {
    this.gone = true;
    clearTimeout(this.timer);
    document.removeEventListener("visibilitychange", this.seen);
  },
  methods: {
    async read() {
      clearTimeout(this.timer);
      if (this.busy || this.gone || this.done) return;
      this.busy = true;
      let pause = SECONDS;
      try {
        const address = `/api/v1/runs/${encodeURIComponent(this.run)}/output?first=${this.next}`;
        const response = await fetch(address, { credentials: "same-origin" });
        const found = await response.json();
        if (!response.ok) throw new Error(found.detail ?? `status ${response.status}`);
        this.add(found);
        this.done = found.complete;
        if (found.text && !found.complete) pause = 0.2; // there may be more already
      } catch (problem) {
        this.notice = `The output cannot be read: ${problem.message}`;
      }
      this.busy = false;
      if (!this.done && !this.gone && !document.hidden) this.timer = setTimeout(() => this.read(), 1000 * pause);
    },
    add(found) {
      const place = this.$refs.text;
      // the kept log of a run that has just ended is all of it
      if (found.complete && found.text) place.textContent = "";
      const skipped = found.first > (found.complete ? 0 : this.next);
      let text = place.textContent + (skipped ? "[earlier output is left out]\n" : "") + found.text;
      if (text.length > MOST) text = text.slice(text.indexOf("\n", text.length - MOST) + 1);
      if (text !== place.textContent) place.textContent = text;
      this.length = text.length;
      this.next = found.next;
      const waiting = found.complete ? "" : "Updated while the run is under way.";
      this.notice = found.notice || waiting;
      this.scroll();
    },
    scroll() {
      this.$nextTick(() => {
        const place = this.$refs.text;
        if (this.follow && place) place.scrollTop = place.scrollHeight;
      });
    },
  },
};
