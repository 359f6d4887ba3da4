#include <iostream>
#include <tidemark/tidemark.hpp>
using namespace tidemark;

struct OrderPlaced {
    static constexpr std::string_view event_type = "OrderPlaced";
    std::string customer;
    int total;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(OrderPlaced, customer, total)

int main(int count, char** arguments) {
    Connection log(count > 1 ? arguments[1] : "dbname=shop");

    // Append: the stream must not exist yet.
    const auto placed = log.append("order-1", encode(OrderPlaced{"Ann", 30}), ExpectedVersion::no_stream());
    // Whoever decided on that version may append the next one. Of two, one wins.
    log.append("order-1", {.type = "OrderPaid", .data = {{"amount", 30}}}, placed.version);
    if (const auto late = log.try_append("order-1", {.type = "OrderCancelled"}, placed.version); !late)
        std::cout << "too late: the order is at version " << late.conflicts()[0].actual << "\n";

    // Read: the history of one order.
    for (const Event& event : log.read_stream("order-1"))
        std::cout << event.stream << " " << event.version << ": " << event.type << " " << event.data() << "\n";

    // Follow: the whole log, from the last position seen. Nothing is skipped, whatever commits late.
    std::int64_t position = 0;
    for (const Event& event : log.read_after(position)) position = event.position;
    std::cout << "followed the log to position " << position << "\n";
}
