#include <tidemark/uuid.hpp>

#include <chrono>
#include <random>
#include <string>

#include <sys/random.h>

#include <tidemark/error.hpp>

namespace tidemark {

Uuid Uuid::make() {
    Uuid uuid;
    // From the kernel each time: a generator of one's own would repeat itself after a fork.
    if (::getrandom(uuid.bytes.data(), uuid.bytes.size(), 0) != static_cast<ssize_t>(uuid.bytes.size())) {
        std::random_device device;
        for (auto& byte : uuid.bytes) byte = static_cast<std::uint8_t>(device());
    }
    using namespace std::chrono;
    const auto now = duration_cast<nanoseconds>(system_clock::now().time_since_epoch()).count();
    const auto milliseconds = static_cast<std::uint64_t>(now / 1'000'000);
    const auto fraction = static_cast<std::uint64_t>(now % 1'000'000) * 4096 / 1'000'000;
    for (int i = 0; i < 6; i++) uuid.bytes[i] = static_cast<std::uint8_t>(milliseconds >> (40 - 8 * i));
    uuid.bytes[6] = static_cast<std::uint8_t>(0x70 | fraction >> 8);
    uuid.bytes[7] = static_cast<std::uint8_t>(fraction);
    uuid.bytes[8] = static_cast<std::uint8_t>(0x80 | (uuid.bytes[8] & 0x3f));
    return uuid;
}

namespace {

int hexadecimal(char digit) {
    if (digit >= '0' && digit <= '9') return digit - '0';
    if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
    return -1;
}

bool has_hyphen_at(std::size_t place) { return place == 8 || place == 13 || place == 18 || place == 23; }

}  // namespace

Uuid Uuid::parse(std::string_view text) {
    Uuid uuid;
    bool good = text.size() == 36;
    for (std::size_t i = 0, digits = 0; good && i < text.size(); i++) {
        if (has_hyphen_at(i)) {
            good = text[i] == '-';
            continue;
        }
        const int value = hexadecimal(text[i]);
        good = value >= 0;
        auto& byte = uuid.bytes[digits++ / 2];
        byte = static_cast<std::uint8_t>(byte << 4 | (value & 0xf));
    }
    if (!good) throw usage_error("not a UUID: " + std::string(text));
    return uuid;
}

std::string Uuid::to_string() const {
    static constexpr char DIGITS[] = "0123456789abcdef";
    std::string text;
    text.reserve(36);
    for (const auto byte : bytes) {
        if (has_hyphen_at(text.size())) text += '-';
        text += DIGITS[byte >> 4];
        text += DIGITS[byte & 0xf];
    }
    return text;
}

}  // namespace tidemark
