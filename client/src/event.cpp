#include <tidemark/event.hpp>

#include <tidemark/error.hpp>
#include <tidemark/typed.hpp>

namespace tidemark {

namespace {

json parse(const Event& event, const std::string& text) {
    json value = json::parse(text, nullptr, false);
    if (value.is_discarded()) detail::fail_to_decode(event, "it is not readable as JSON");
    return value;
}

}  // namespace

void detail::fail_to_decode(const Event& event, const std::string& why) {
    throw decode_error("version " + std::to_string(event.version) + " of stream \"" + event.stream + "\", position " +
                           std::to_string(event.position) + ", type " + event.type + ": " + why,
                       "TM007");
}

json Event::data() const { return parse(*this, data_text); }
json Event::metadata() const { return parse(*this, metadata_text); }

}  // namespace tidemark
