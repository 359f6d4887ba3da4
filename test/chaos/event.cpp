#include "event.h"

#include <openssl/evp.h>

namespace chaos {

namespace {

Digest sha256(const void* bytes, std::size_t length) {
    Digest digest;
    if (EVP_Digest(bytes, length, digest.data(), nullptr, EVP_sha256(), nullptr) != 1)
        throw std::runtime_error("SHA-256 is not available");
    return digest;
}

}  // namespace

Event event_at(const Rows& rows, int row) {
    return {rows.number(row, 0), rows.number(row, 1), rows.text(row, 2),
            rows.text(row, 3),   rows.text(row, 4),   rows.text(row, 5)};
}

std::string describe(const Event& event) {
    return event.type + " " + event.id + " of " + event.stream + ", version " + std::to_string(event.version) +
           ", position " + std::to_string(event.position);
}

std::optional<std::int64_t> number_in(const std::string& data, const std::string& key) {
    const std::string before = '"' + key + "\": ";
    const auto found = data.find(before);
    if (found == std::string::npos) return std::nullopt;
    return std::stoll(data.substr(found + before.size(), 20));
}

Digest digest_of(const Event& event) {
    std::string bytes;
    for (const auto& field : {std::to_string(event.position), std::to_string(event.version), event.stream, event.id,
                              event.type, event.data})
        bytes += std::to_string(field.size()) + ':' + field;
    return sha256(bytes.data(), bytes.size());
}

std::string hex(const Digest& digest) {
    std::string text;
    for (const unsigned char byte : digest) {
        text += "0123456789abcdef"[byte >> 4];
        text += "0123456789abcdef"[byte & 15];
    }
    return text;
}

void Chain::add(const Digest& link) {
    std::array<unsigned char, 64> both;
    std::copy(value_.begin(), value_.end(), both.begin());
    std::copy(link.begin(), link.end(), both.begin() + value_.size());
    value_ = sha256(both.data(), both.size());
}

}  // namespace chaos
