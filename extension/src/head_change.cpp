#include "head_change.h"

#include "guard.h"

extern "C" {
#include "access/xloginsert.h"
}

namespace tidemark {

namespace {

constexpr size_t WORD = sizeof(uint64);
constexpr size_t FRAGMENT_HEADER = 2 * sizeof(OffsetNumber);

// What changed in a row, as the generic resource manager replays it on the page: fragments, each an offset, a length
// and so many bytes. Where fewer bytes than a fragment's header are equal, the fragment goes on.
class Delta {
  public:
    Delta() = default;
    Delta(size_t offset, const char* before, const char* after, size_t size)
        : bytes(static_cast<char*>(palloc(size / WORD * (FRAGMENT_HEADER + WORD)))) {
        size_t from = 0, to = 0;
        for (size_t word = 0; word < size; word += WORD) {
            if (memcmp(before + word, after + word, WORD) == 0) continue;
            size_t first = word, end = word + WORD;
            while (before[first] == after[first]) first++;
            while (before[end - 1] == after[end - 1]) end--;
            if (first - to > FRAGMENT_HEADER) {
                put(offset + from, after + from, to - from);
                from = first;
            }
            to = end;
        }
        put(offset + from, after + from, to - from);
    }

    char* bytes = nullptr;
    uint32 length = 0;

  private:
    void put(size_t offset, const char* data, size_t count) {
        if (count == 0) return;
        const OffsetNumber header[] = {static_cast<OffsetNumber>(offset), static_cast<OffsetNumber>(count)};
        memcpy(bytes + length, header, FRAGMENT_HEADER);
        memcpy(bytes + length + FRAGMENT_HEADER, data, count);
        length += FRAGMENT_HEADER + count;
    }
};

}  // namespace

void* HeadChange::add(Buffer buffer, void* row, size_t size) {
    Assert(count < static_cast<int>(std::size(parts)));
    void* copy = memcpy(palloc(size), row, size);
    parts[count++] = {buffer, static_cast<char*>(row), static_cast<char*>(copy), size};
    return copy;
}

// The macros of critical sections count a volatile variable up and down.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wvolatile"

XLogRecPtr HeadChange::finish() {
    Delta deltas[std::size(parts)];
    for (int i = 0; i < count; i++)
        deltas[i] = Delta(parts[i].row - BufferGetPage(parts[i].buffer), parts[i].row, parts[i].copy, parts[i].size);

    XLogRecPtr end = InvalidXLogRecPtr;
    if (is_logged) XLogBeginInsert();
    START_CRIT_SECTION();
    for (int i = 0; i < count; i++) {
        memcpy(parts[i].row, parts[i].copy, parts[i].size);
        MarkBufferDirty(parts[i].buffer);
    }
    if (is_logged) {
        for (int i = 0; i < count; i++) {
            XLogRegisterBuffer(static_cast<uint8>(i), parts[i].buffer, REGBUF_STANDARD);
            XLogRegisterBufData(static_cast<uint8>(i), deltas[i].bytes, deltas[i].length);
        }
        end = XLogInsert(RM_GENERIC_ID, 0);
        for (int i = 0; i < count; i++) PageSetLSN(BufferGetPage(parts[i].buffer), end);
    }
    END_CRIT_SECTION();
    return end;
}

#pragma GCC diagnostic pop

}  // namespace tidemark
